"""Clients that send slowly, or nothing, against the real server: everybody else is served as if they were not there."""

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.servers import CHECKOUT, free_ports, wait_for

HALVES = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half of the headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "half of a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx",
    "half of the next request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTT",
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server whose requests have to be there within three seconds."""
    [port] = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "tests.unit.slow_server", str(port), "3"], cwd=CHECKOUT)
    wait_for(lambda: ask(port), OSError)
    yield port
    process.terminate()
    process.wait()


def ask(port: int, body: bytes | None = None, **headers: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", "/", body, headers)
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_three_hundred_of_them_keep_nobody_out(port: int, half: bytes) -> None:
    slow = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(300)]
    for client in slow:
        client.sendall(half)
    assert [ask(port) for _ in range(5)] == [b"0"] * 5
    assert ask(port, b"x" * 100) == b"100"
    for client in slow:
        while client.recv(65536):  # the answer that there may be, and then the end
            pass
        client.close()
    assert ask(port) == b"0"


def test_what_comes_in_pieces_is_whole(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        for byte in b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc":
            client.sendall(bytes([byte]))
        response = http.client.HTTPResponse(client)  # its head and its body may come apart
        response.begin()
        assert response.read() == b"3"
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        told = b""
        while told.count(b"200 OK") < 2:
            told += client.recv(65536)


@pytest.mark.parametrize("length", [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_bodies_of_any_length(port: int, length: int) -> None:
    assert ask(port, b"x" * length) == str(length).encode()
    chunks = iter([b"x" * length]) if length else iter([])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", chunks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().read() == str(length).encode()
    connection.close()


def test_headers_without_an_end_are_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        with suppress(OSError):
            for _ in range(1000):
                client.sendall(b"x" * 65536)
        with suppress(ConnectionError):
            assert b" 4" in client.recv(100)
    assert ask(port) == b"0"
