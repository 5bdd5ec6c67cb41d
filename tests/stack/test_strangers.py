"""Two databases of two users: by the API and by SQL, neither sees, reaches or guesses the other."""

import stat
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.stack.conftest import create
from tests.support.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def hers(alice: httpx.Client) -> Iterator[dict[str, Any]]:
    created = create(alice)
    with psycopg.connect(created["connectionString"], autocommit=True) as connection:
        connection.execute("create table secret as select 'alice-secret' as word")
    yield created
    assert alice.delete(f"/databases/{created['id']}").status_code == 204


@pytest.fixture(scope="module")
def his(bob: httpx.Client) -> Iterator[dict[str, Any]]:
    created = create(bob)
    yield created
    assert bob.delete(f"/databases/{created['id']}").status_code == 204


CALLS = [
    ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/reset-password"), ("POST", "/repair-ownership"),
    ("POST", "/start"), ("POST", "/stop"), ("POST", "/restart"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_the_api_says_not_found(bob: httpx.Client, hers: dict[str, Any], method: str, path: str) -> None:
    body = {"displayName": "Mine"} if method == "PATCH" else None
    answer = bob.request(method, f"/databases/{hers['id']}{path}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (404, "DATABASE_NOT_FOUND")


def with_parts(connection_string: str, **parts: str) -> str:
    return psycopg.conninfo.make_conninfo(connection_string, **parts)


def test_his_role_reaches_only_his_database(hers: dict[str, Any], his: dict[str, Any]) -> None:
    for database in (hers["name"], "postgres", "template1", "dbhost-control", "pgbouncer"):
        with (
            pytest.raises(psycopg.OperationalError),
            psycopg.connect(with_parts(his["connectionString"], dbname=database)),
        ):
            pass


@pytest.mark.parametrize("user", ["postgres", "dbhost_provisioner", "dbhost-control", "pgbouncer"])
def test_no_other_role_opens_his_database(his: dict[str, Any], user: str) -> None:
    with pytest.raises(psycopg.OperationalError), psycopg.connect(with_parts(his["connectionString"], user=user)):
        pass


def statements(hers: str) -> list[str]:
    return [
        f'set role "{hers}"',
        f'set session authorization "{hers}"',
        f'grant "{hers}" to current_user',
        f'alter role "{hers}" password null',
        f'drop role "{hers}"',
        f'drop database "{hers}"',
        f'alter database "{hers}" rename to stolen',
        f'grant connect on database "{hers}" to public',
        f"comment on database \"{hers}\" is 'mine'",
        "set role dbhost_provisioner",
        "create role intruder",
        "create database intruder",
        "alter role current_user superuser",
        "alter role current_user createrole",
        "alter role current_user connection limit -1",
        "grant pg_read_server_files to current_user",
        "grant pg_signal_backend to current_user",
        "create extension dblink",
        "create extension postgres_fdw",
        "create extension file_fdw",
        "create extension adminpack",
        "create language plpython3u",
        "copy (select 1) to program 'id'",
        "create table f(t text); copy f from '/etc/passwd'",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('.')",
        "select lo_import('/etc/passwd')",
        "select rolpassword from pg_authid",
        "alter system set log_statement = 'all'",
        "select pg_reload_conf()",
        "set temp_file_limit = -1",
        "create function c() returns int language c as 'libc', 'getpid'",
        "create event trigger e on ddl_command_start execute function pg_catalog.suppress_redundant_updates_trigger()",
        "create publication p for all tables",
        "create subscription s connection 'host=127.0.0.1' publication p with (connect = false)",
        "select pg_create_physical_replication_slot('s')",
        "load 'auto_explain'",
    ]


def test_his_sql_cannot_break_out(hers: dict[str, Any], his: dict[str, Any]) -> None:
    broke_out = []
    for statement in statements(hers["name"]):
        with psycopg.connect(his["connectionString"], autocommit=True) as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.Error:
                continue
            broke_out.append(statement)
    assert broke_out == []


def test_he_sees_no_query_of_hers_and_cannot_end_it(hers: dict[str, Any], his: dict[str, Any]) -> None:
    with (
        psycopg.connect(hers["connectionString"]) as her_session,
        psycopg.connect(his["connectionString"], autocommit=True) as his_session,
    ):
        her_session.execute("select pg_backend_pid(), 'alice-secret'")
        seen = his_session.execute(
            "select pid, query from pg_stat_activity where datname <> current_database()"
        ).fetchall()
        assert not [query for _, query in seen if query and "alice-secret" in query]
        for pid, _ in seen:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                his_session.execute("select pg_terminate_backend(%s)", (pid,))


def test_postgresql_itself_listens_on_loopback_alone_and_refuses_the_mighty(stack: Stack, his: dict[str, Any]) -> None:
    port = stack.ports[2]
    for user in ("postgres", "dbhost_provisioner"):
        with (
            pytest.raises(psycopg.OperationalError),
            psycopg.connect(host="127.0.0.1", port=port, user=user, dbname="postgres"),
        ):
            pass
    password = urlsplit(his["connectionString"]).password
    with (
        pytest.raises(psycopg.OperationalError),
        psycopg.connect(host=str(stack.socket_dir), port=port, user=his["name"], password=password, dbname=his["name"]),
    ):
        pass


def test_secrets_are_closed_files_and_appear_in_no_log(stack: Stack, hers: dict[str, Any]) -> None:
    for path in (stack.home / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path
    texts = [path for path in (stack.home / "logs").rglob("*") if path.is_file()]
    assert texts
    for path in texts:
        content = path.read_bytes()
        assert hers["password"].encode() not in content, path
        assert b"SCRAM-SHA-256$" not in content, path
    left = [path for path in (stack.home / "runs").rglob("*") if path.is_file() and path.parts[-2] == "env"]
    assert left == []
    with stack.control() as connection:
        for table in ("operations", "procrastinate_jobs", "audit_events", "runs", "run_steps"):
            rows = connection.execute(
                psycopg.sql.SQL("select to_jsonb(t)::text from {} t").format(psycopg.sql.Identifier(table))
            )
            for (row,) in rows:
                assert hers["password"] not in row
                assert "SCRAM-SHA-256$" not in row
