"""A tenant that takes what all share without end is ended before the other tenants get none."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.dataplane import PROVISIONER, DataPlane

PROGRAM = Path(__file__).parents[2] / "roles/postgres/files/watchdog.py"
HOARD = "SELECT pg_advisory_lock(n) FROM generate_series(1, 10000000) AS n"


@contextlib.contextmanager
def watching(dataplane: DataPlane, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROGRAM), "--socket-dir", str(dataplane.socket_dir), "--user", PROVISIONER]
    command += ["--port", str(dataplane.postgres_port), "--interval-s", "0.1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            assert "Watching" in process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.fixture
def watchdog(dataplane: DataPlane) -> Iterator[subprocess.Popen[str]]:
    with watching(dataplane) as process:
        yield process


class Hoarder(threading.Thread):
    """A tenant that takes locks without end, and keeps what it has when there are none left."""

    def __init__(self, dataplane: DataPlane, tenant: Any) -> None:
        super().__init__()
        self.url = dataplane.url(tenant.name, tenant.password)
        self.is_full, self.is_over = threading.Event(), threading.Event()
        self.was_ended = False

    def run(self) -> None:
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self.is_over.is_set():
                    try:
                        connection.execute(HOARD)
                    except psycopg.errors.OutOfMemory:
                        self.is_full.set()
        except psycopg.OperationalError:
            self.was_ended = True

    def __enter__(self) -> Hoarder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()  # or the tests after this one find no lock either
        self.join()


def test_others_get_locks_again(dataplane: DataPlane, tenants: Any, watchdog: subprocess.Popen[str]) -> None:
    greedy, other = tenants(), tenants()
    for tenant in (greedy, other):
        dataplane.converge(tenant.item())
    with dataplane.connect(other.name, other.password) as connection:
        with Hoarder(dataplane, greedy) as hoarder:
            hoarder.join(30)
            assert hoarder.was_ended
        deadline = time.monotonic() + 10
        while True:
            try:
                connection.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000) AS n")
                break
            except psycopg.errors.OutOfMemory:
                assert time.monotonic() < deadline
    assert watchdog.stdout
    assert f"of {greedy.name}: it held" in watchdog.stdout.readline()


def test_works_when_the_table_is_already_full(
    dataplane: DataPlane, tenants: Any, watchdog: subprocess.Popen[str]
) -> None:
    """A table is full within milliseconds, between one look and the next."""
    greedy = tenants()
    dataplane.converge(greedy.item())
    watchdog.send_signal(signal.SIGSTOP)
    with Hoarder(dataplane, greedy) as hoarder:
        assert hoarder.is_full.wait(30)
        with pytest.raises(psycopg.OperationalError, match="out of shared memory"):
            dataplane.local(PROVISIONER)
        watchdog.send_signal(signal.SIGCONT)
        hoarder.join(30)
        assert hoarder.was_ended
    dataplane.local(PROVISIONER).close()


def test_others_can_notify_again(dataplane: DataPlane, tenants: Any, watchdog: subprocess.Popen[str]) -> None:
    """A listener that stays in its transaction keeps all that is sent in any database."""
    greedy, other = tenants(), tenants()
    for tenant in (greedy, other):
        dataplane.converge(tenant.item())
    with (
        dataplane.direct(other.name, other.password) as bystander,
        dataplane.direct(greedy.name, greedy.password) as holder,
        dataplane.direct(other.name, other.password) as victim,
    ):
        holder.autocommit = victim.autocommit = True
        bystander.execute("SELECT 1")
        holder.execute("LISTEN flood")
        holder.execute("BEGIN")
        over = threading.Event()
        flood = threading.Thread(target=keep_sending, args=(dataplane.direct(greedy.name, greedy.password), over))
        flood.start()
        retried(lambda: expect(not is_alive(holder)), AssertionError)
        retried(lambda: victim.execute("NOTIFY shop, 'open'"), psycopg.errors.ProgramLimitExceeded)
        over.set()
        flood.join()
        bystander.execute("SELECT 1")


def keep_sending(connection: psycopg.Connection, over: threading.Event) -> None:
    connection.autocommit = True
    with connection:
        while not over.is_set():
            with contextlib.suppress(psycopg.errors.ProgramLimitExceeded):
                connection.execute("SELECT pg_notify('flood', n || repeat('x', 7000)) FROM generate_series(1, 99) AS n")


def expect(true: bool) -> None:
    assert true


def test_all_temporary_files_of_a_tenant_are_bounded(dataplane: DataPlane, tenants: Any) -> None:
    greedy, other = tenants(), tenants()
    for tenant in (greedy, other):
        dataplane.converge(tenant.item())
    spill = "DECLARE kept CURSOR WITH HOLD FOR SELECT repeat('x', 1000) FROM generate_series(1, 12000)"
    with contextlib.ExitStack() as stack:
        watchdog = stack.enter_context(watching(dataplane, "--temporary-mb", "20"))
        mine, yours = [
            [stack.enter_context(dataplane.direct(tenant.name, tenant.password)) for _ in range(number)]
            for tenant, number in ((greedy, 3), (other, 1))
        ]
        for connection in (*yours, *mine):
            connection.autocommit = True
            connection.execute(spill)
        assert watchdog.stdout
        assert f"temporary files of {greedy.name} took" in watchdog.stdout.readline()
        assert [is_alive(connection) for connection in yours] == [True]
        retried(lambda: expect(sum(is_alive(connection) for connection in mine) == 1), AssertionError)


def test_an_idle_transaction_ends_whatever_its_tenant_has_set(dataplane: DataPlane, tenants: Any) -> None:
    idler = tenants()
    dataplane.converge(idler.item())
    with (
        watching(dataplane, "--idle-transaction-s", "1") as watchdog,
        dataplane.direct(idler.name, idler.password) as connection,
    ):
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        assert watchdog.stdout
        assert f"of {idler.name}: its transaction was idle" in watchdog.stdout.readline()
        retried(lambda: expect(not is_alive(connection)), AssertionError)


def is_alive(connection: psycopg.Connection) -> bool:
    """Whether its session is there still; asked without a word of SQL, which would end its being idle."""
    with contextlib.suppress(psycopg.OperationalError):
        list(connection.notifies(timeout=0.05))
        return not connection.closed
    return False


def retried(work: Callable[[], object], refused: type[Exception]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            work()
            return
        except refused:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_many_databases_of_one_account_leave_connections_to_others(dataplane: DataPlane, tenants: Any) -> None:
    crowd, other = [tenants() for _ in range(10)], tenants()
    dataplane.converge(*(tenant.item() for tenant in (*crowd, other)))
    with contextlib.ExitStack() as stack:
        held = idle_transactions(stack, dataplane, crowd)
        with pytest.raises(psycopg.OperationalError):
            dataplane.direct(other.name, other.password)
        stack.enter_context(watching(dataplane))
        retried(lambda: dataplane.direct(other.name, other.password).close(), psycopg.OperationalError)
        assert sum(not is_alive(connection) for connection in held) < len(held) // 5


def idle_transactions(stack: contextlib.ExitStack, dataplane: DataPlane, crowd: list[Any]) -> list[psycopg.Connection]:
    """As many as there are connections; the 41st of a tenant would be refused for itself alone."""
    held: list[psycopg.Connection] = []
    with contextlib.suppress(psycopg.OperationalError):
        for tenant in crowd * 40:
            held.append(dataplane.direct(tenant.name, tenant.password))
            stack.callback(held[-1].close)
            held[-1].execute("SELECT 1")
    assert len(held) > 300
    return held
