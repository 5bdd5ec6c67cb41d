"""A database moves between two real hosts while clients read and write it; no write that was acknowledged is lost."""

from __future__ import annotations

import itertools
import secrets
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
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def boss() -> Iterator[httpx.Client]:
    """A platform admin: they alone move databases."""
    email = f"boss-{secrets.token_hex(4)}@example.org"
    STACK.dbhost("user", "create", email, "--admin")
    key = STACK.dbhost("api-key", "create", "--user", email).stdout.strip()
    with STACK.client(key) as client:
        yield client


@pytest.fixture
def shop(boss: httpx.Client) -> dict[str, Any]:
    """A database with some rows."""
    name = f"move-{secrets.token_hex(4)}"
    made = boss.post("/databases", json={"name": name, "displayName": name})
    assert made.status_code == 201, made.text
    shop = dict(made.json())
    with enter(shop) as connection:
        connection.execute("CREATE TABLE goods (id bigint PRIMARY KEY, word text)")
        connection.execute("INSERT INTO goods SELECT -i, md5(i::text) FROM generate_series(1, %s) AS i", [ROWS])
    return shop


def enter(shop: dict[str, Any], address: str | None = None) -> psycopg.Connection[Any]:
    return connect(address or shop["host"], shop["name"], shop["password"], AUTHORITY)


def names(shop: dict[str, Any]) -> tuple[str, str]:
    """The host that it is on, and the other one."""
    return ("db1", "db2") if shop["host"] == ONE.address else ("db2", "db1")


def move(boss: httpx.Client, shop: dict[str, Any]) -> None:
    """To the other host, as an operator does, by the command."""
    _, other = names(shop)
    env = {**STACK.env, "DBHOST_API_URL": STACK.url, "DBHOST_API_KEY": boss.headers["Authorization"].split()[1]}
    run([str(CHECKOUT / "dbhost"), "databases", "move", shop["name"], "--to", other, "--yes"], env, timeout=280)
    shop["host"] = boss.get(f"/databases/{shop['id']}").json()["host"]
    assert shop["host"] == HOSTS[other]


def begin_to_move(boss: httpx.Client, shop: dict[str, Any], step: str) -> dict[str, Any]:
    """Return when the move is at a task of that name."""
    _, other = names(shop)
    asked = boss.post(f"/databases/{shop['id']}/move", json={"host": other}, headers=LATER)
    assert asked.status_code == 202, asked.text
    wait(lambda: step in (now(boss, asked.json())["progress"]["stepName"] or ""))
    return dict(asked.json())


def now(boss: httpx.Client, operation: dict[str, Any]) -> dict[str, Any]:
    return dict(boss.get(f"/operations/{operation['id']}").json())


def ids(shop: dict[str, Any]) -> set[int]:
    with enter(shop) as connection:
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
                    while not self._ended.wait(0.05):
                        work(connection)
            except psycopg.OperationalError:
                continue

    def _read(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT max(id) FROM goods").fetchone()
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
    """There while writers take no for an answer, back while one insists: then what it wrote is moved too."""
    for begin in (PLAIN, INSIST):
        before = ids(shop)
        with Clients(shop, begin) as clients:
            move(boss, shop)
        assert ids(shop) >= before | clients.acknowledged
        assert (clients.refused > 0) is (begin is PLAIN)
        reads, longest = len(clients.read_at), clients.outage_s()
        print(f"to {names(shop)[0]}: {reads} reads, {len(clients.acknowledged)} writes, {longest:.1f} s without a read")
        assert begin is INSIST or longest < LONGEST_OUTAGE_S


def test_the_other_host_loses_power_in_the_middle(boss: httpx.Client, shop: dict[str, Any]) -> None:
    """Clients write again while it is away; what was brought there is dropped once it is back."""
    before = ids(shop)
    operation = begin_to_move(boss, shop, "Report the restore")
    _, other = names(shop)
    FLEET.kill(other)
    try:
        wait(lambda: now(boss, operation)["state"] == "failed")
        wait(lambda: is_written_to(boss, shop))
    finally:
        FLEET.start(other)
    wait(lambda: not copies(shop))
    move(boss, shop)
    assert ids(shop) > before


def test_its_own_host_loses_its_link_in_the_middle(boss: httpx.Client, shop: dict[str, Any]) -> None:
    """When it is back, it has everything and is open again."""
    before = ids(shop)
    operation = begin_to_move(boss, shop, "Report the restore")
    own, _ = names(shop)
    FLEET.cut(own)
    try:
        wait(lambda: now(boss, operation)["state"] == "failed")
    finally:
        FLEET.mend(own)
    wait(lambda: is_written_to(boss, shop))
    assert ids(shop) > before


def is_written_to(boss: httpx.Client, shop: dict[str, Any]) -> bool:
    """Whether it is active where it was, and a client can write."""
    found = boss.get(f"/databases/{shop['id']}").json()
    try:
        with enter(shop) as connection:
            connection.execute("INSERT INTO goods VALUES (%s)", [next(numbers)])
    except psycopg.Error:
        return False
    return (found["status"], found["host"]) == ("active", shop["host"])


def copies(shop: dict[str, Any]) -> list[Any]:
    """What of it is known to be on hosts that it is not on."""
    with STACK.control() as control:
        return control.execute("SELECT name FROM copies WHERE database_id = %s", [shop["id"]]).fetchall()
