"""Programs with prepared statements at the pooled door go on after a table was changed from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg import errors, sql

from agent_modules.module_utils.dbhost import schema_signal
from tests.support.dataplane import DataPlane, signalled_at

PROGRAM = Path(__file__).parents[2] / "roles/pgbouncer/files/reconnect.py"
QUERY = "SELECT * FROM goods"
# What is imported is read by this user, since that one may not be able to.
AS_USER = """
import importlib.util, os, pwd, sys
user, program, *sys.argv[1:] = sys.argv[1:]
spec = importlib.util.spec_from_file_location("reconnect", program)
sys.modules["reconnect"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if os.geteuid() == 0:
    os.seteuid(pwd.getpwnam(user).pw_uid)
module.main()
"""
HEALED_WITHIN_S = 60  # in truth a second


@contextlib.contextmanager
def reconnecting(dataplane: DataPlane, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", AS_USER, dataplane.user, str(PROGRAM), "--socket-dir", str(dataplane.socket_dir)]
    command += ["--port", str(dataplane.postgres_port), "--console-dir", str(dataplane.console_dir)]
    command += ["--console-port", str(dataplane.pgbouncer_port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "Watching" in process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def reconnect(dataplane: DataPlane) -> Iterator[subprocess.Popen[str]]:
    with reconnecting(dataplane) as process:
        yield process


@pytest.fixture
def goods(dataplane: DataPlane, shop: Any) -> Any:
    change(dataplane, shop, "CREATE TABLE goods (id int)", "INSERT INTO goods VALUES (1)")
    return shop


def change(dataplane: DataPlane, tenant: Any, *statements: str) -> None:
    """By another program of the tenant's, at the direct door."""
    with dataplane.connect(tenant.name, tenant.password, port=dataplane.direct_port) as connection:
        for statement in statements:
            connection.execute(statement)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HEALED_WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def columns(connection: psycopg.Connection) -> int:
    """How many the prepared query has; 0 while it fails."""
    try:
        return len(connection.execute(QUERY, prepare=True).description or ())
    except errors.FeatureNotSupported:  # cached plan must not change result type
        return 0


def test_what_is_prepared_heals_on_open_and_new_connections(
    dataplane: DataPlane, goods: Any, reconnect: subprocess.Popen[str]
) -> None:
    with dataplane.connect(goods.name, goods.password) as mine:
        assert columns(mine) == 1
        change(dataplane, goods, "ALTER TABLE goods ADD COLUMN word text")
        until(lambda: columns(mine) == 2)
        with dataplane.connect(goods.name, goods.password) as new:
            assert columns(new) == 2
        assert columns(mine) == 2


CHANGES = {
    "a column goes": ["ALTER TABLE goods ADD extra int", "ALTER TABLE goods DROP COLUMN extra, ADD a int, ADD b int"],
    "another type": ["ALTER TABLE goods ADD a int", "ALTER TABLE goods ADD b text, ALTER a TYPE text"],
    "another table": ["DROP TABLE goods", "CREATE TABLE goods (a int, b int, c int)"],
    "a copied table": ["DROP TABLE goods", "CREATE TABLE goods AS SELECT 1 AS a, 2 AS b, 3 AS c"],
    "renamed": [
        "CREATE TABLE w (a int, b int, c int)",
        "ALTER TABLE goods RENAME TO x",
        "ALTER TABLE w RENAME TO goods",
    ],
    "a view": ["ALTER TABLE goods RENAME TO x", "CREATE VIEW goods AS SELECT id, 1 AS b, 2 AS c FROM x"],
    "a materialized view": ["DROP TABLE goods", "CREATE MATERIALIZED VIEW goods AS SELECT 1 AS a, 2 AS b, 3 AS c"],
    "in a block": ["DO $$ BEGIN ALTER TABLE goods ADD b int, ADD c int; END $$"],
}


@pytest.mark.parametrize("statements", CHANGES.values(), ids=CHANGES)
def test_each_way_to_change_a_result_heals(
    dataplane: DataPlane, goods: Any, reconnect: subprocess.Popen[str], statements: list[str]
) -> None:
    with dataplane.connect(goods.name, goods.password) as mine:
        assert columns(mine) == 1
        change(dataplane, goods, *statements)
        until(lambda: columns(mine) == 3)


def test_a_transaction_that_commits_late(dataplane: DataPlane, goods: Any, reconnect: subprocess.Popen[str]) -> None:
    """The signal comes long before anybody sees the change."""
    with (
        dataplane.connect(goods.name, goods.password) as mine,
        dataplane.connect(goods.name, goods.password, port=dataplane.direct_port) as late,
    ):
        late.execute("BEGIN")
        late.execute("CREATE VIEW later AS SELECT 1 AS a")
        before = process(mine)
        late.execute("CREATE VIEW stale AS SELECT 2 AS a")
        until(lambda: process(mine) != before)
        assert columns(mine) == 1  # on a server connection that was made after the signal
        late.execute("COMMIT")
        after = process(mine)
        until(lambda: process(mine) != after)


def process(connection: psycopg.Connection) -> int:
    """PostgreSQL's process that the pooled door uses for a client at the moment."""
    [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def test_programs_with_asyncpg_heal(dataplane: DataPlane, goods: Any, reconnect: subprocess.Popen[str]) -> None:
    """It keeps the columns for itself too, and asks anew after one failure."""

    async def width(connection: asyncpg.Connection) -> int:
        try:
            return len(await connection.fetchrow(QUERY))
        except (asyncpg.FeatureNotSupportedError, asyncpg.exceptions.OutdatedSchemaCacheError):
            return 0

    async def connected() -> asyncpg.Connection:
        return await asyncpg.connect(
            host="127.0.0.1",
            port=dataplane.pgbouncer_port,
            user=goods.name,
            password=goods.password,
            database=goods.name,
            ssl=ssl.create_default_context(cafile=str(dataplane.ca)),
        )

    async def work() -> None:
        mine = await connected()
        assert await width(mine) == 1
        await asyncio.to_thread(change, dataplane, goods, "ALTER TABLE goods ADD COLUMN word text")
        deadline = time.monotonic() + HEALED_WITHIN_S
        while await width(mine) != 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        new = await connected()
        assert (await width(new), await width(mine)) == (2, 2)
        await new.close()
        await mine.close()

    asyncio.run(work())


def test_other_databases_keep_their_connections(dataplane: DataPlane, goods: Any, tenants: Any) -> None:
    other = tenants()
    dataplane.converge(other.item())
    with (
        reconnecting(dataplane, "--server-lifetime-s", "0"),  # or what was just made would reconnect once
        dataplane.connect(goods.name, goods.password) as mine,
        dataplane.connect(other.name, other.password) as theirs,
    ):
        kept, before = process(theirs), process(mine)
        for number in range(20):
            change(dataplane, goods, f"ALTER TABLE goods ADD COLUMN c{number} int")
        until(lambda: process(mine) != before)
        assert process(theirs) == kept


def test_a_temporary_table_reconnects_nobody(
    dataplane: DataPlane, goods: Any, reconnect: subprocess.Popen[str]
) -> None:
    """Programs make one in each transaction, and no other session sees it."""
    with dataplane.connect(goods.name, goods.password) as mine:
        before = signalled_at(dataplane, goods.name)
        mine.execute("BEGIN")
        for statement in ("CREATE TEMP TABLE t (id int)", "CREATE TEMP TABLE u AS SELECT 1", "ALTER TABLE t ADD b int"):
            mine.execute(statement)
        mine.execute("DROP TABLE t")
        mine.execute("COMMIT")
        assert signalled_at(dataplane, goods.name) == before
        mine.execute("CREATE TABLE lasting ()")
        first = signalled_at(dataplane, goods.name)
        assert first != before
        mine.execute("DROP TABLE lasting")
        assert signalled_at(dataplane, goods.name) not in (before, first)


def test_a_database_that_pgbouncer_does_not_have_keeps_nobody_waiting(
    dataplane: DataPlane, tenants: Any, reconnect: subprocess.Popen[str]
) -> None:
    closed, goods = tenants(), tenants()
    dataplane.converge(closed.item(), goods.item())
    change(dataplane, goods, "CREATE TABLE goods (id int)")
    dataplane.converge(closed.item(state="closed"))
    with dataplane.connect(goods.name, goods.password) as mine:
        assert columns(mine) == 1
        for database in (closed.name, goods.name):
            with dataplane.superuser(database) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS public.goods (id int)")
                connection.execute("ALTER TABLE public.goods ADD COLUMN word text")
        until(lambda: columns(mine) == 2)


def test_it_goes_on_after_either_was_away(dataplane: DataPlane, goods: Any, reconnect: subprocess.Popen[str]) -> None:
    dataplane.processes["pgbouncer"].send_signal(signal.SIGSTOP)
    change(dataplane, goods, "ALTER TABLE goods ADD COLUMN a int")
    dataplane.processes["pgbouncer"].send_signal(signal.SIGCONT)
    dataplane.restart_pgbouncer()
    with dataplane.superuser() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        assert connection.execute(ended, [schema_signal.WATCHER]).fetchall() == [(True,)]
    with dataplane.connect(goods.name, goods.password) as mine:
        assert columns(mine) == 2
        change(dataplane, goods, "ALTER TABLE goods ADD COLUMN b int")
        until(lambda: columns(mine) == 3)


def test_transactions_that_change_schemas_do_not_wait_for_each_other(dataplane: DataPlane, goods: Any) -> None:
    with (
        dataplane.connect(goods.name, goods.password, port=dataplane.direct_port) as first,
        dataplane.connect(goods.name, goods.password, port=dataplane.direct_port) as second,
    ):
        for number, session in enumerate((first, second)):
            session.execute("SET lock_timeout = '20s'")
            session.execute("BEGIN")
            session.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(f"own{number}")))
        for session in (first, second):
            session.execute("ALTER TABLE IF EXISTS nothing ADD a int")
            session.execute("COMMIT")
        # Nor for who takes the lock for himself.
        first.execute("SELECT pg_advisory_lock(%s, %s)", schema_signal.LOCK)
        second.execute("DROP TABLE own0, own1")
