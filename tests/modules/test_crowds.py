"""No tenant, account or stranger keeps others from connecting, at PgBouncer or at PostgreSQL, or takes its memory."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.dataplane import DataPlane, verifier
from tests.support.servers import pgbouncer_executable
from webapp.embedded.programs import limited

MEMORY_MB = 256
SLOTS = 40


class Small(DataPlane):
    """With few slots, so that they are soon taken."""

    def listeners(self, *arguments: Any) -> Any:
        return [listener | {"max_client_connections": SLOTS} for listener in super().listeners(*arguments)]

    def _spawn(self, name: str, command: list[str]) -> None:
        is_pooler = command[0] == pgbouncer_executable()
        super()._spawn(name, limited(command, MEMORY_MB) if is_pooler else command)


@pytest.fixture(scope="module")
def small() -> Iterator[DataPlane]:
    plane = Small()
    try:
        plane.start()
        plane.converge(*(item(name, n) for n, name in enumerate(("greedy", "other"), 1)))
        yield plane
    finally:
        plane.stop()


def item(name: str, generation: int) -> dict[str, Any]:
    return {"name": name, "verifier": verifier(f"pw-{name}"), "generation": generation}


def test_one_tenant_leaves_client_slots_to_others(small: DataPlane) -> None:
    with contextlib.ExitStack() as stack:
        refused = None
        for _ in range(SLOTS):
            try:
                stack.enter_context(small.connect("greedy", "pw-greedy"))
            except psycopg.OperationalError as error:
                refused = str(error)
        assert "client connections exceeded" in str(refused)
        small.connect("other", "pw-other").close()


def test_who_does_not_log_in_keeps_no_tenant_out(small: DataPlane) -> None:
    """A stranger who only says whose database it wants would otherwise take the slots of its owner."""
    parameters = b"user\0other\0database\0other\0\0"
    startup = (8 + len(parameters)).to_bytes(4) + (196608).to_bytes(4) + parameters
    with contextlib.ExitStack() as stack:
        for _ in range(SLOTS // 2):
            stranger = stack.enter_context(socket.create_connection(("127.0.0.1", small.pgbouncer_port)))
            stranger.sendall(startup)
            stranger.recv(1)
        small.connect("other", "pw-other").close()


def test_what_one_client_prepares_is_bounded_and_others_come_back(small: DataPlane) -> None:
    """The bound ends PgBouncer, and whatever supervises it starts it again; without, it would take all memory."""
    greedy, text = small.connect("greedy", "pw-greedy"), "x" * 4_000_000
    with pytest.raises(psycopg.OperationalError):
        prepare(greedy, 200, text)
    greedy.close()
    small.restart_pgbouncer()
    with small.connect("other", "pw-other") as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def prepare(connection: psycopg.Connection, number: int, text: str) -> None:
    for n in range(number):
        connection.pgconn.prepare(f"s{n}".encode(), f"SELECT {n} /*{text}*/".encode())


def test_a_message_has_a_bound(small: DataPlane) -> None:
    greedy = small.connect("greedy", "pw-greedy")
    with pytest.raises(psycopg.OperationalError):
        greedy.execute(f"SELECT length('{'x' * 129 * 2**20}')".encode())
    greedy.close()
    small.connect("other", "pw-other").close()


def test_who_does_not_log_in_is_closed_soon(small: DataPlane) -> None:
    """Sockets that say nothing take all slots for seconds, not for as long as they like."""
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", small.pgbouncer_port)
        idle = [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(SLOTS + 5)]
        for silent in idle:
            while silent.recv(1000):
                pass
    small.connect("other", "pw-other").close()
