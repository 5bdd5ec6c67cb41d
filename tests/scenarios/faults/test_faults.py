"""`up --hosts 2`, and hosts that fail: operations wait and then end, and the other host goes on."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fleet.support import on_host
from tests.scenarios import hosts
from tests.scenarios.plays import connect
from webapp.fleet.commands import run
from webapp.fleet.machine import Machine

STACK, FLEET = hosts.stack("faults"), hosts.fleet("faults")
ONE, TWO = FLEET.hosts()
AUTHORITY = STACK.home / "tls/ca.crt"
LATER = {"Prefer": "respond-async"}
CLUSTER = "postgresql@17-main"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def alice() -> Iterator[httpx.Client]:
    STACK.dbhost("user", "create", "alice@example.org")
    with STACK.client(STACK.dbhost("api-key", "create", "--user", "alice@example.org").stdout.strip()) as client:
        yield client


def create(alice: httpx.Client, **headers: str) -> dict[str, Any]:
    name = f"fault-{next(numbers)}"
    made = alice.post("/databases", json={"name": name, "displayName": name}, headers=headers)
    assert made.status_code in (201, 202), made.text
    return dict(made.json())


@pytest.fixture(scope="module")
def databases(alice: httpx.Client) -> dict[str, dict[str, Any]]:
    """One database on each host, by the host's address: placement takes turns."""
    made = [create(alice) for _ in range(2)]
    found = {database["host"]: database for database in made}
    assert set(found) == {ONE.address, TWO.address}
    return found


def wait(happened: Callable[[], bool], within_s: float = 150) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


def reset(alice: httpx.Client, database: dict[str, Any], **headers: str) -> dict[str, Any]:
    done = alice.post(f"/databases/{database['id']}/reset-password", headers=headers)
    assert done.status_code in (200, 202), done.text
    return dict(done.json())


def state(alice: httpx.Client, operation: dict[str, Any]) -> str:
    return str(alice.get(f"/operations/{operation['id']}").json()["state"])


def ends_well(alice: httpx.Client, operation: dict[str, Any]) -> None:
    wait(lambda: state(alice, operation) in ("succeeded", "failed"))
    assert state(alice, operation) == "succeeded", alice.get(f"/operations/{operation['id']}").text


def log_in(database: dict[str, Any]) -> None:
    with connect(database["host"], database["name"], database["password"], AUTHORITY) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (database["name"],)


def test_databases_are_placed_on_both_hosts(databases: dict[str, dict[str, Any]]) -> None:
    for database in databases.values():
        log_in(database)
    told = STACK.status()["hosts"]
    assert told == [{"name": host.name, "address": host.address, "state": "running"} for host in (ONE, TWO)]


def test_a_host_without_power_is_waited_for_and_the_other_goes_on(
    alice: httpx.Client, databases: dict[str, dict[str, Any]]
) -> None:
    FLEET.kill("db2")
    waiting = reset(alice, databases[TWO.address], **LATER)
    log_in({**databases[ONE.address], **reset(alice, databases[ONE.address])})
    assert state(alice, waiting) in ("queued", "running")
    FLEET.start("db2")
    ends_well(alice, waiting)


def test_a_host_whose_key_changed_is_not_spoken_to(alice: httpx.Client, databases: dict[str, dict[str, Any]]) -> None:
    """Nothing is sent to an impostor, and nothing is tried again until somebody has pinned a key."""
    pinned = FLEET.names.host_key_file("db2").with_suffix(".pub").read_text().strip()
    by_console("cd /etc/ssh; cp -p ssh_host_ed25519_key /var/tmp/kept; rm ssh_host_ed25519_key")
    by_console("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh")
    by_console("pkill -u dbhost-agent || true")  # a connection from before would still be used
    waiting = reset(alice, databases[TWO.address], **LATER)
    wait(lambda: any("key" in problem for problem in shown("db2")["problems"]))
    assert state(alice, waiting) in ("queued", "running")
    log_in({**databases[ONE.address], **reset(alice, databases[ONE.address])})
    by_console("cp -p /var/tmp/kept /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh")
    STACK.dbhost("host", "rekey", "db2", "--host-key", pinned)
    ends_well(alice, waiting)


def shown(name: str) -> dict[str, Any]:
    return dict(json.loads(STACK.dbhost("host", "show", name, "--json").stdout))


def by_console(command: str) -> None:
    """Run on db2 as somebody at the machine itself would, without SSH."""
    init = Machine(FLEET.names, 2).init_pid()
    run("nsenter", "--target", str(init), "--all", "sh", "-c", command)


def test_a_stopped_pgbouncer_lets_nothing_become_active(
    alice: httpx.Client, databases: dict[str, dict[str, Any]]
) -> None:
    on_host(ONE, "sudo systemctl stop pgbouncer")
    waiting = reset(alice, databases[ONE.address], **LATER)
    wait(lambda: bool(alice.get(f"/operations/{waiting['id']}").json().get("error")))
    assert state(alice, waiting) != "succeeded"
    on_host(ONE, "sudo systemctl start pgbouncer")
    ends_well(alice, waiting)


def test_postgres_killed_while_it_creates_and_drops(alice: httpx.Client) -> None:
    """Twice each, in the middle of a batch: every operation ends well, and every name is free again afterwards."""
    made = [create(alice, **LATER) for _ in range(8)]
    for host in (ONE, TWO, ONE):
        on_host(host, f"sleep 0.3; sudo systemctl kill -s KILL {CLUSTER}")
    for operation in made:
        ends_well(alice, operation)
    listed = alice.get("/databases?limit=100").json()["data"]
    created = [entry for entry in listed if entry["status"] == "active"][: len(made)]
    names = [entry["name"] for entry in created]
    gone = [alice.delete(f"/databases/{entry['id']}", headers=LATER) for entry in created]
    for host in (TWO, ONE):
        on_host(host, f"sleep 0.3; sudo systemctl kill -s KILL {CLUSTER}")
    for answer in gone:
        assert answer.status_code in (202, 204), answer.text
        if answer.status_code == 202:
            ends_well(alice, answer.json())
    for name in names:
        again = alice.post("/databases", json={"name": name, "displayName": name})
        assert again.status_code == 201, again.text
        log_in(again.json())
