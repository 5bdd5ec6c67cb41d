"""PostgreSQL's log, which operators read, has nothing of what is in tenants' databases, and no tenant fills it."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.dataplane import DataPlane

MARK = "kept-out-of-the-log"
TEMPLATES = (
    "DO $$BEGIN FOR n IN 1..20000 LOOP RAISE WARNING 'MARK %', n; END LOOP; END$$",
    "DO $$BEGIN RAISE LOG 'MARK'; END$$",
    "SELECT 'MARK'::int",
    "INSERT INTO goods VALUES ('MARK'), ('MARK')",
    "DO $$BEGIN EXECUTE 'SELECT 1/0, ''MARK'''; END$$",
    "DO $$BEGIN PERFORM 'MARK'::uuid; END$$",
    'SELECT "MARK"',
    "SELECT pg_terminate_backend(pg_backend_pid()), 'MARK'",
)
HOSTILE = [template.replace("MARK", MARK) for template in TEMPLATES]
LIFTING = (
    "SET log_min_messages = debug1",
    "ALTER ROLE {0} SET log_min_messages = debug1",
    "ALTER ROLE {0} RESET log_min_messages",
    "ALTER ROLE {0} IN DATABASE {0} SET log_min_messages = debug1",
    "ALTER DATABASE {0} RESET log_min_messages",
)


def test_no_data_and_no_flood(dataplane: DataPlane, shop: Any) -> None:
    with dataplane.direct(shop.name, shop.password) as connection:
        connection.execute("CREATE TABLE goods (word text PRIMARY KEY)")
    before = len(dataplane.log("postgres"))
    for statement in HOSTILE:
        with (
            contextlib.suppress(psycopg.Error),
            dataplane.direct(shop.name, shop.password) as connection,
        ):
            connection.execute(statement.encode())
    written = dataplane.log("postgres")[before:]
    assert MARK not in written
    assert len(written) < 2000


def test_a_deadlock_tells_no_statements(dataplane: DataPlane, shop: Any) -> None:
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(dataplane.direct(shop.name, shop.password)) for _ in range(2))
        first.execute("SELECT pg_advisory_xact_lock(1)")
        second.execute("SELECT pg_advisory_xact_lock(2)")

        def wait() -> None:
            with contextlib.suppress(psycopg.Error):
                first.execute(f"SELECT pg_advisory_xact_lock(2), '{MARK}'".encode())

        waiting = threading.Thread(target=wait)
        waiting.start()
        with contextlib.suppress(psycopg.Error):
            second.execute(f"SELECT pg_advisory_xact_lock(1), '{MARK}'".encode())
        second.rollback()
        waiting.join()
    assert MARK not in dataplane.log("postgres")


@pytest.mark.parametrize("statement", LIFTING)
def test_a_tenant_cannot_lift_it(dataplane: DataPlane, shop: Any, statement: str) -> None:
    refused = contextlib.suppress(psycopg.errors.InsufficientPrivilege)
    with refused, dataplane.direct(shop.name, shop.password) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(shop.name)))  # type: ignore[arg-type]
    with dataplane.direct(shop.name, shop.password) as connection:
        assert connection.execute("SHOW log_min_messages").fetchall() == [("panic",)]


def test_a_database_made_before_is_made_quiet(dataplane: DataPlane, shop: Any) -> None:
    with dataplane.superuser() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} RESET log_min_messages").format(sql.Identifier(shop.name)))
    [result] = dataplane.converge(shop.item(), check=True)
    assert result["changes"] == [f'ALTER DATABASE "{shop.name}" SET log_min_messages = panic']
    dataplane.converge(shop.item())
    [result] = dataplane.converge(shop.item())
    assert result["changed"] is False
