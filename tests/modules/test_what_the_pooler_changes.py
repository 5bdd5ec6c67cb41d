"""Each row of the table in docs/connecting.md is true at a real pooled and a real direct door."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tests.support.dataplane import DataPlane

PAGE = Path(__file__).parents[2] / "docs/connecting.md"
Client = psycopg.Connection
SHARED, OWN = "another client may get them", "yours"
# By a row's beginning: what one client does, and the question by which it or another finds it again.
KEPT = {
    "settings by `SET`": ("SET statement_timeout = 54321", "SELECT current_setting('statement_timeout') = '54321ms'"),
    "temporary tables": ("CREATE TEMP TABLE t ()", "SELECT to_regclass('pg_temp.t') IS NOT NULL"),
    "session advisory locks": (
        "SELECT pg_advisory_lock(7)",
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND pid = pg_backend_pid())",
    ),
    "`WITH HOLD` cursors": (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT EXISTS (SELECT FROM pg_cursors WHERE name = 'c')",
    ),
    "SQL `PREPARE`": ("PREPARE p AS SELECT 1", "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'p')"),
    "`lastval()`": ("SELECT nextval('numbers')", "SELECT lastval() > 0"),
    "`SET LOCAL`": (
        "BEGIN; SET LOCAL statement_timeout = 54321; SELECT pg_advisory_xact_lock(7)",
        "SELECT current_setting('statement_timeout') = '54321ms'",
    ),
}
TRACKED = {
    "search_path": "pg_catalog",
    "TimeZone": "Asia/Tokyo",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "client_encoding": "LATIN1",
    "application_name": "mine",
}


def table() -> dict[str, tuple[str, str]]:
    part = PAGE.read_text(encoding="utf-8").partition("## What the pooler changes")[2]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return {what.strip(): (pooled.strip(), direct.strip()) for what, pooled, direct in lines[2:]}


@contextlib.contextmanager
def two(dataplane: DataPlane, shop, port: int) -> Iterator[tuple[Client, Client]]:
    """Two clients; at the pooled door there is one server connection for both."""
    with (
        dataplane.connect(shop.name, shop.password, port=port) as one,
        dataplane.connect(shop.name, shop.password, port=port) as other,
    ):
        other.prepare_threshold = one.prepare_threshold = None
        yield one, other


@pytest.fixture
def shop(dataplane, tenants):
    tenant = tenants()
    dataplane.converge(tenant.item(pool_size=1))
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("CREATE SEQUENCE numbers")
    return tenant


def found(client: Client, question: str) -> bool:
    try:
        return client.execute(question).fetchone() == (True,)
    except psycopg.errors.ObjectNotInPrerequisiteState:  # lastval before there is one
        return False


def kept(one: Client, other: Client, do: str, question: str) -> str:
    one.execute(do)
    if one.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
        mine = found(one, question)
        one.execute("COMMIT")
        return OWN if mine and not found(other, question) else SHARED
    return SHARED if found(other, question) else OWN if found(one, question) else "gone"


def tracked(one: Client, other: Client) -> str:
    for name, value in TRACKED.items():
        one.execute("SELECT set_config(%s, %s, false)", [name, value])
    query = "SELECT current_setting(%s)"
    theirs = [name for name, value in TRACKED.items() if other.execute(query, [name]).fetchone() == (value,)]
    mine = [name for name, value in TRACKED.items() if one.execute(query, [name]).fetchone() == (value,)]
    return OWN if (theirs, mine) == ([], list(TRACKED)) else SHARED


def heard(one: Client, other: Client) -> str:
    one.execute("LISTEN news")
    other.execute("NOTIFY news")
    if list(other.notifies(timeout=0)):  # with the answer to NOTIFY, at the connection that both use
        return "hears nothing"
    return "hears" if list(one.notifies(timeout=60, stop_after=1)) else "hears nothing"


def prepared(one: Client, other: Client) -> str:
    for client, value in ((one, 1), (other, 2), (one, 3), (other, 4)):
        assert client.execute("SELECT %s::int", [value], prepare=True).fetchone() == (value,)
    return OWN


ROWS: dict[str, Callable[[Client, Client], str]] = {
    "`search_path`": tracked,
    "`LISTEN`": heard,
    "prepared statements of drivers": prepared,
    **{row: lambda one, other, way=way: kept(one, other, *way) for row, way in KEPT.items()},  # type: ignore[misc]
}
AT_CONNECT = "`options=-c statement_timeout=…`"


def test_each_row_has_a_test() -> None:
    assert all(sum(row.startswith(known) for known in (*ROWS, AT_CONNECT)) == 1 for row in table())
    assert len(table()) == len(ROWS) + 1


@pytest.mark.parametrize("door", ["pooled", "direct"])
@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_true(dataplane, shop, row, door) -> None:
    [said] = [cells for what, cells in table().items() if what.startswith(row)]
    port = {"pooled": dataplane.pgbouncer_port, "direct": dataplane.direct_port}[door]
    with two(dataplane, shop, port) as (one, other):
        assert ROWS[row](one, other) == said[door == "direct"]


@pytest.mark.parametrize("door", ["pooled", "direct"])
@pytest.mark.parametrize("asked", [{"options": "-c statement_timeout=54321"}, {"statement_timeout": "54321"}])
def test_what_is_asked_for_at_connect(dataplane, shop, asked, door) -> None:
    [said] = [cells for what, cells in table().items() if what.startswith(AT_CONNECT)]
    port = {"pooled": dataplane.pgbouncer_port, "direct": dataplane.direct_port}[door]

    assert said[door == "direct"] == "refused"
    with pytest.raises(asyncpg.ProtocolViolationError, match=r"unsupported startup parameter.*statement_timeout"):
        asyncio.run(connected(dataplane, shop, port, asked))


async def connected(dataplane, shop, port: int, asked: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=str(dataplane.ca))
    where = {"host": "127.0.0.1", "port": port, "user": shop.name, "database": shop.name}
    client = await asyncpg.connect(**where, password=shop.password, ssl=context, server_settings=asked)
    await client.close()


TAKEN = {"search_path": "elsewhere", "IntervalStyle": "iso_8601", "TimeZone": "Asia/Tokyo", "application_name": "shop"}


def test_what_the_page_names_is_taken_at_connect(dataplane, shop) -> None:
    options = " ".join(f"-c {name}={value}" for name, value in TAKEN.items())
    for port in (dataplane.pgbouncer_port, dataplane.direct_port):
        with psycopg.connect(dataplane.url(shop.name, shop.password, None, port), options=options) as client:
            assert {name: client.execute(f"SHOW {name}").fetchone()[0] for name in TAKEN} == TAKEN
        with psycopg.connect(dataplane.url(shop.name, shop.password, None, port)) as client:
            assert client.execute("SHOW search_path").fetchone() != ("elsewhere",)
