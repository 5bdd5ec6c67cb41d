"""A tenant that takes advisory locks without end is ended before the other tenants get none."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.dataplane import PROVISIONER, DataPlane

PROGRAM = Path(__file__).parents[2] / "roles/postgres/files/lock_watchdog.py"
HOARD = "SELECT pg_advisory_lock(n) FROM generate_series(1, 10000000) AS n"


@pytest.fixture
def watchdog(dataplane: DataPlane) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROGRAM), "--socket-dir", str(dataplane.socket_dir), "--user", PROVISIONER]
    command += ["--port", str(dataplane.postgres_port), "--interval-s", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "Watching" in process.stdout.readline()
        yield process
        process.kill()


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
    assert f"of {greedy.name}, which held" in watchdog.stdout.readline()


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
