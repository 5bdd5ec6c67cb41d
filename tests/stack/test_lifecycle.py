"""One database's life by the API, each step seen from outside with a real client."""

import time
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.conftest import create
from tests.support.stack import Stack, psql

pytestmark = pytest.mark.stack


def refused(connection_string: str) -> str:
    """The reason why a new session is refused; fails when it is not."""
    with pytest.raises(psycopg.OperationalError) as error, psycopg.connect(connection_string, connect_timeout=5):
        pass
    return str(error.value)


def cut_within(connection: psycopg.Connection[Any], seconds: float) -> None:
    """The open session ends within *seconds*."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            connection.execute("select 1")
        except psycopg.OperationalError:
            return
        time.sleep(0.05)
    pytest.fail(f"the session still works after {seconds} s")


def test_reset_password_ends_the_old_one_also_in_open_sessions(alice: httpx.Client, database: dict[str, Any]) -> None:
    old = database["connectionString"]
    psql(old, "create table kept(i int)", "insert into kept values (42)")
    with psycopg.connect(old, autocommit=True) as session:
        session.execute("select 1")

        answer = alice.post(f"/databases/{database['id']}/reset-password")

        assert answer.status_code == 200, answer.text
        assert list(answer.json()) == ["password"]
        cut_within(session, 1)
    assert "authentication failed" in refused(old)
    new = old.replace(database["password"], answer.json()["password"])
    assert psql(new, "select i from kept").stdout.strip() == "42"


def test_stop_cuts_and_refuses_and_start_brings_all_back(alice: httpx.Client, database: dict[str, Any]) -> None:
    url = database["connectionString"]
    psql(url, "create table kept(i int)", "insert into kept values (7)")
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("select 1")
        answer = alice.post(f"/databases/{database['id']}/stop")
        cut_within(session, 1)
    assert (answer.status_code, answer.json()["status"]) == (200, "stopped")
    refused(url)

    answer = alice.post(f"/databases/{database['id']}/start")

    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    assert psql(url, "select i from kept").stdout.strip() == "7"


def test_restart_cuts_once(alice: httpx.Client, database: dict[str, Any]) -> None:
    url = database["connectionString"]
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("select 1")
        assert alice.post(f"/databases/{database['id']}/restart").status_code == 200
        cut_within(session, 1)
    assert psql(url, "select 1").stdout.strip() == "1"


def test_repair_ownership_is_idempotent(alice: httpx.Client, database: dict[str, Any]) -> None:
    for _ in range(2):
        answer = alice.post(f"/databases/{database['id']}/repair-ownership")
        assert answer.status_code == 200
        assert (answer.json()["name"], answer.json()["status"]) == (database["name"], "repaired")


def traces(stack: Stack, name: str) -> list[str]:
    """Where *name* is still found on the host."""
    found = []
    with stack.provisioner() as connection:
        for table, column in (("pg_roles", "rolname"), ("pg_database", "datname")):
            query = psycopg.sql.SQL("select 1 from {} where {} = %s").format(
                psycopg.sql.Identifier("pg_catalog", table), psycopg.sql.Identifier(column)
            )
            if connection.execute(query, (name,)).fetchone():
                found.append(table)
    files = {file: (stack.home / "pgbouncer" / file).read_text() for file in ("databases.ini", "hba.conf")}
    found += [file for file, content in files.items() if f'"{name}"' in content or f"\n{name} =" in content]
    return found


def test_delete_leaves_nothing_and_frees_the_name(stack: Stack, alice: httpx.Client, bob: httpx.Client) -> None:
    first = create(alice, "phoenix")
    psql(first["connectionString"], "create table secret(i int)")
    assert traces(stack, "phoenix") == ["pg_roles", "pg_database", "databases.ini", "hba.conf"]
    with psycopg.connect(first["connectionString"], autocommit=True) as session:
        session.execute("select 1")

        assert alice.delete(f"/databases/{first['id']}").status_code == 204

        cut_within(session, 1)
    assert traces(stack, "phoenix") == []
    refused(first["connectionString"])
    assert alice.get(f"/databases/{first['id']}").json()["code"] == "DATABASE_NOT_FOUND"

    second = create(bob, "phoenix")

    assert (
        psql(second["connectionString"], "select count(*) from pg_tables where schemaname = 'public'").stdout.strip()
        == "0"
    )
    assert "authentication failed" in refused(first["connectionString"])
    assert bob.delete(f"/databases/{second['id']}").status_code == 204


def test_the_operation_tells_its_steps(alice: httpx.Client) -> None:
    answer = alice.post(
        "/databases", json={"name": "stepwise", "displayName": "S"}, headers={"Prefer": "respond-async"}
    )
    assert answer.status_code == 202
    operation = answer.headers["Location"].removeprefix("/api/v1")
    with alice.stream("GET", f"{operation}/events") as stream:
        text = "".join(stream.iter_text())
    assert "succeeded" in text
    steps = alice.get(operation).json()["steps"]
    assert any(step["name"].startswith("Ensure") for step in steps), steps
    operation = alice.get(answer.headers["Location"].removeprefix("/api/v1")).json()
    assert operation["state"] == "succeeded"
    [listed] = alice.get("/databases", params={"limit": 1}).json()["data"]
    assert listed["name"] == "stepwise"
    assert alice.delete(f"/databases/{listed['id']}").status_code == 204
