"""A database moves between two real hosts while clients read and write it; no write that was acknowledged is lost."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from psycopg.errors import ReadOnlySqlTransaction

from tests.scenarios.faults.test_faults import AUTHORITY, FLEET, LATER, ONE, STACK, TWO, wait
from tests.scenarios.plays import connect
from tests.support.stack import CHECKOUT, run

ROWS = 200_000
GO_ON_S = 3  # before and after a move
LONGEST_OUTAGE_S = 60  # measured: a few seconds; the machine may be busy
HOSTS = {"db1": ONE.address, "db2": TWO.address}
PLAIN: LiteralString = "BEGIN"
INSIST: LiteralString = "BEGIN READ WRITE"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def boss() -> Iterator[httpx.Client]:
    """A platform admin: they alone move databases."""
    STACK.dbhost("user", "create", "boss@example.org", "--admin")
    key = STACK.dbhost("api-key", "create", "--user", "boss@example.org").stdout.strip()
    with STACK.client(key) as client:
        yield client


@pytest.fixture
def shop(boss: httpx.Client) -> dict[str, Any]:
    """A database with some rows, on db1."""
    name = f"move-{next(numbers)}"
    made = boss.post("/databases", json={"name": name, "displayName": name})
    assert made.status_code == 201, made.text
    shop = dict(made.json())
    with enter(shop, shop["host"]) as connection:
        connection.execute("CREATE TABLE goods (id bigint PRIMARY KEY, word text)")
        connection.execute("INSERT INTO goods SELECT -i, md5(i::text) FROM generate_series(1, %s) AS i", [ROWS])
    if shop["host"] != ONE.address:
        move(boss, shop, "db1")
    return shop


def enter(shop: dict[str, Any], address: str) -> psycopg.Connection[Any]:
    return connect(address, shop["name"], shop["password"], AUTHORITY)


def move(boss: httpx.Client, shop: dict[str, Any], host: str) -> None:
    """As an operator does, by the command."""
    env = {**STACK.env, "DBHOST_API_URL": STACK.url, "DBHOST_API_KEY": boss.headers["Authorization"].split()[1]}
    run([str(CHECKOUT / "dbhost"), "databases", "move", shop["name"], "--to", host, "--yes"], env, timeout=280)
    assert boss.get(f"/databases/{shop['id']}").json()["host"] == HOSTS[host]


def begin_to_move(boss: httpx.Client, shop: dict[str, Any], host: str) -> dict[str, Any]:
    asked = boss.post(f"/databases/{shop['id']}/move", json={"host": host}, headers=LATER)
    assert asked.status_code == 202, asked.text
    return dict(asked.json())


def now(boss: httpx.Client, operation: dict[str, Any]) -> dict[str, Any]:
    return dict(boss.get(f"/operations/{operation['id']}").json())


def ids(shop: dict[str, Any], address: str) -> set[int]:
    with enter(shop, address) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM goods").fetchall()}


@dataclass
class Clients:
    """Somebody who reads and somebody who writes, each on whichever host lets them in, until the block ends."""

    shop: dict[str, Any]
    begin: LiteralString
    acknowledged: set[int] = field(default_factory=set)
    refused: int = 0
    read_at: list[float] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Clients:
        self._threads = [threading.Thread(target=self._go_on, args=(work,)) for work in (self._read, self._write)]
        for thread in self._threads:
            thread.start()
        time.sleep(GO_ON_S)
        return self

    def __exit__(self, *_error: object) -> None:
        time.sleep(GO_ON_S)
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def outage_s(self) -> float:
        """The longest time without a read."""
        return max(after - before for before, after in itertools.pairwise(self.read_at))

    def _go_on(self, work: Callable[[psycopg.Connection[Any]], None]) -> None:
        for address in itertools.cycle(HOSTS.values()):
            if self._ended.wait(0.05):
                return
            try:
                with enter(self.shop, address) as connection:
                    while not self._ended.wait(0.02):
                        work(connection)
            except psycopg.OperationalError:
                continue

    def _read(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT count(*) FROM goods WHERE id > 0").fetchone()
        self.read_at.append(time.monotonic())

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        number = next(numbers)
        try:
            connection.execute(self.begin)
            connection.execute("INSERT INTO goods VALUES (%s)", [number])
            connection.execute("COMMIT")
        except ReadOnlySqlTransaction:
            self.refused += 1
            connection.execute("ROLLBACK")
        else:
            self.acknowledged.add(number)


def test_it_is_read_while_it_moves_and_comes_back(boss: httpx.Client, shop: dict[str, Any]) -> None:
    for host in ("db2", "db1"):
        before = ids(shop, shop["host"])
        with Clients(shop, PLAIN) as clients:
            move(boss, shop, host)
        shop["host"] = HOSTS[host]
        assert ids(shop, shop["host"]) >= before | clients.acknowledged
        assert clients.refused > 0
        reads, longest = len(clients.read_at), clients.outage_s()
        print(f"to {host}: {reads} reads, {clients.refused} writes refused, {longest:.1f} s without a read")
        assert longest < LONGEST_OUTAGE_S


def test_what_somebody_insists_on_writing_is_moved_too(boss: httpx.Client, shop: dict[str, Any]) -> None:
    before = ids(shop, shop["host"])
    with Clients(shop, INSIST) as clients:
        move(boss, shop, "db2")
    assert ids(shop, TWO.address) >= before | clients.acknowledged
    assert clients.refused == 0
    print(f"{len(clients.acknowledged)} writes, {clients.outage_s():.1f} s without a read")


def middle(boss: httpx.Client, operation: dict[str, Any], step: str) -> None:
    """Wait until the move is at a task of that name."""
    wait(lambda: step in (now(boss, operation)["progress"]["stepName"] or ""))


def is_back(boss: httpx.Client, shop: dict[str, Any]) -> bool:
    """Active where it was, and clients write."""
    found = boss.get(f"/databases/{shop['id']}").json()
    try:
        with enter(shop, ONE.address) as connection:
            connection.execute("INSERT INTO goods VALUES (%s)", [next(numbers)])
    except psycopg.Error:
        return False
    return (found["status"], found["host"]) == ("active", ONE.address)


def dropped(boss: httpx.Client, shop: dict[str, Any]) -> bool:
    """Whether what the move had brought is gone again, by an operation of its own."""
    with STACK.control() as control:
        left = control.execute("SELECT 1 FROM copies WHERE database_id = %s", [shop["id"]]).fetchone()
    return left is None


@pytest.mark.parametrize("how", ["kill", "cut"])
def test_a_host_lost_in_the_middle_leaves_it_where_it_was(boss: httpx.Client, shop: dict[str, Any], how: str) -> None:
    """Without power, without its link: the other one goes on, and what was brought is dropped once it is back."""
    before = ids(shop, ONE.address)
    operation = begin_to_move(boss, shop, "db2")
    middle(boss, operation, "Report the restore")
    getattr(FLEET, how)("db2")
    try:
        wait(lambda: now(boss, operation)["state"] == "failed")
        wait(lambda: is_back(boss, shop))
        assert ids(shop, ONE.address) > before
    finally:
        getattr(FLEET, {"kill": "start", "cut": "mend"}[how])("db2")
    wait(lambda: dropped(boss, shop))
    move(boss, shop, "db2")
    assert ids(shop, TWO.address) > before


def test_its_own_host_lost_in_the_middle_has_it_when_it_is_back(boss: httpx.Client, shop: dict[str, Any]) -> None:
    before = ids(shop, ONE.address)
    operation = begin_to_move(boss, shop, "db2")
    middle(boss, operation, "Report the backup")
    FLEET.kill("db1")
    wait(lambda: now(boss, operation)["state"] == "failed")
    FLEET.start("db1")
    wait(lambda: is_back(boss, shop))
    assert ids(shop, ONE.address) > before
