"""A tenant that takes advisory locks without end is ended before the other tenants get none."""

from __future__ import annotations

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


def hoard(dataplane: DataPlane, tenant: Any, ended: list[str]) -> None:
    try:
        with dataplane.connect(tenant.name, tenant.password) as connection:
            for _ in range(1000):
                try:
                    connection.execute(HOARD)
                except psycopg.errors.OutOfMemory:
                    continue  # what it has, it keeps
    except psycopg.OperationalError as error:
        ended.append(type(error).__name__)


def test_others_get_locks_again(dataplane: DataPlane, tenants: Any, watchdog: subprocess.Popen[str]) -> None:
    greedy, other = tenants(), tenants()
    for tenant in (greedy, other):
        dataplane.converge(tenant.item())
    ended: list[str] = []
    with dataplane.connect(other.name, other.password) as connection:
        thread = threading.Thread(target=hoard, args=(dataplane, greedy, ended))
        thread.start()
        thread.join(60)
        assert ended
        deadline = time.monotonic() + 10
        while True:
            try:
                connection.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000) AS n")
                break
            except psycopg.errors.OutOfMemory:
                assert time.monotonic() < deadline
    assert watchdog.stdout
    assert f"of {greedy.name}, which held" in watchdog.stdout.readline()
