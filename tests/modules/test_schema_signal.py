"""The event triggers by which a database tells that its schema changed: whose they are, and where there are some."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from agent_modules.module_utils.dbhost import installation, schema_signal
from tests.support import dumps
from tests.support.dataplane import PROVISIONER, DataPlane, signalled_at
from tests.support.servers import postgres_tool

TAMPERING = [
    "ALTER EVENT TRIGGER dbhost_schema_changed_ddl_command_end DISABLE",
    "DROP EVENT TRIGGER dbhost_schema_changed_sql_drop",
    "DROP FUNCTION pg_catalog.dbhost_schema_changed() CASCADE",
    "ALTER FUNCTION pg_catalog.dbhost_schema_changed() SECURITY INVOKER",
    "ALTER EXTENSION plpgsql DROP FUNCTION pg_catalog.dbhost_schema_changed()",
    "DROP EXTENSION plpgsql CASCADE",
    "SET event_triggers = off",
    "SET session_replication_role = replica",
    "SELECT pg_catalog.dbhost_schema_changed()",
    "SELECT pg_catalog.pg_stat_reset_single_table_counters(2601)",
    "SET ROLE dbhost_watcher",
    "CREATE OR REPLACE FUNCTION pg_catalog.dbhost_schema_changed() RETURNS event_trigger LANGUAGE plpgsql AS ''",
]


@pytest.mark.parametrize("statement", TAMPERING)
def test_no_tenant_changes_the_triggers(dataplane: DataPlane, shop: Any, statement: str) -> None:
    with dataplane.connect(shop.name, shop.password) as owner:
        with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
            owner.execute(statement)
        before = signalled_at(dataplane, shop.name)
        owner.execute("CREATE TABLE untouched ()")
        assert signalled_at(dataplane, shop.name) != before


def test_nothing_of_a_tenants_is_called_by_the_trigger(dataplane: DataPlane, shop: Any) -> None:
    """It has the rights of the superuser, and names nothing that a search path decides about."""
    with dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) as owner:
        owner.execute("CREATE SCHEMA own")
        owner.execute(
            "CREATE FUNCTION own.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$"
            " BEGIN RAISE 'called as %', current_user; END $$"
        )
        owner.execute("CREATE OPERATOR own.= (LEFTARG = text, RIGHTARG = text, FUNCTION = own.equal)")
        owner.execute("SET search_path = own, pg_temp, pg_catalog")
        owner.execute("CREATE TABLE own.fine ()")
        owner.execute("DROP TABLE own.fine")


def triggers(dataplane: DataPlane, database: str) -> list[tuple[Any, ...]]:
    query = """
SELECT t.evtname, t.evtenabled, t.evtowner::regrole::text, x.extname
  FROM pg_event_trigger AS t
  LEFT JOIN pg_depend AS d ON d.classid = 'pg_event_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'e'
  LEFT JOIN pg_extension AS x ON x.oid = d.refobjid ORDER BY 1"""
    with dataplane.superuser(database) as connection:
        return connection.execute(query).fetchall()


WANTED = [(f"dbhost_schema_changed_{event}", "A", "postgres", "plpgsql") for event in sorted(schema_signal.TAGS)]


def test_a_dump_has_nothing_of_it_and_what_is_restored_has_it_once(dataplane: DataPlane, filled: Any) -> None:
    assert triggers(dataplane, filled.name) == WANTED
    command = [postgres_tool("pg_dump"), "-h", str(dataplane.socket_dir), "-p", str(dataplane.postgres_port)]
    text = subprocess.run(
        [*command, "-U", "postgres", filled.name],
        check=True,
        capture_output=True,
        text=True,
        env={"LD_LIBRARY_PATH": str(Path(postgres_tool("pg_dump")).parents[1] / "lib")},
    ).stdout
    assert "goods" in text
    assert not re.search("dbhost_schema_changed|EVENT TRIGGER|EXTENSION|dbhost_watcher", text)
    backup = dumps.wanted(filled.name)
    dumps.back_up(dataplane, backup)
    source = {"kind": "host", "folder": backup.folder, "filename": backup.filename}
    assert dumps.restore(dataplane, filled.name, source)["error"] is None
    assert triggers(dataplane, filled.name) == WANTED


@pytest.mark.parametrize("state", ["present", "stopped"])
def test_older_databases_get_it_from_the_installer(dataplane: DataPlane, shop: Any, state: str) -> None:
    with dataplane.superuser(shop.name) as connection:
        for name, *_ in WANTED:
            connection.execute(sql.SQL("ALTER EXTENSION plpgsql DROP EVENT TRIGGER {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP EVENT TRIGGER {}").format(sql.Identifier(name)))
        connection.execute("ALTER EXTENSION plpgsql DROP FUNCTION pg_catalog.dbhost_schema_changed()")
        connection.execute("DROP FUNCTION pg_catalog.dbhost_schema_changed()")
    dataplane.converge(shop.item(state=state))
    with dataplane.superuser() as connection:
        install = installation.signal_schema_changes
        told = [f'Have changes of the schema signalled in "{shop.name}"']
        assert install(connection, PROVISIONER, dataplane.superuser, check=True) == told
        assert install(connection, PROVISIONER, dataplane.superuser, check=False) == told
        assert install(connection, PROVISIONER, dataplane.superuser, check=False) == []
    dataplane.converge(shop.item())
    assert triggers(dataplane, shop.name) == WANTED


def test_who_watches_reads_nothing_of_tenants(dataplane: DataPlane, shop: Any) -> None:
    with pytest.raises(psycopg.OperationalError):
        dataplane.direct(schema_signal.WATCHER, "x", "postgres")
    with dataplane.superuser() as connection:
        for query in (
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles WHERE rolname = %s",
            "SELECT EXISTS (SELECT FROM pg_auth_members WHERE member = %s::regrole)",
            f"SELECT has_database_privilege(%s, '{shop.name}', 'CONNECT')",
        ):
            assert connection.execute(query, [schema_signal.WATCHER]).fetchone() == (False,)
