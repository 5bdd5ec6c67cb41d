"""A client on another address: forwards connections, so that the server sees them come from where the test says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def from_address(source: str, host: str, port: int) -> Iterator[int]:
    """A port of 127.0.0.1 that leads to *host*:*port* from *source*; all of 127.0.0.0/8 is this machine's own.

    libpq has no setting for a client's own address. What is sent is passed on untouched, TLS too.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=_accept, args=(listening, source, (host, port)), daemon=True)
        accepting.start()
        yield listening.getsockname()[1]
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _accept(listening: socket.socket, source: str, target: tuple[str, int]) -> None:
    pumps: list[threading.Thread] = []
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            server = socket.create_connection(target, source_address=(source, 0))
            for pair in ((client, server), (server, client)):
                pumps.append(threading.Thread(target=_pump, args=pair, daemon=True))
                pumps[-1].start()
    for pump in pumps:
        pump.join()


def _pump(read: socket.socket, write: socket.socket) -> None:
    """Pass on what one end says until it ends, then end both: each socket is closed by the one that reads it."""
    with read, suppress(OSError):
        while data := read.recv(65536):
            write.sendall(data)
    with suppress(OSError):
        write.shutdown(socket.SHUT_RDWR)
