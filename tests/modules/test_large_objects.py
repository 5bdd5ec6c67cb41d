"""Who makes large objects: the tenant and its members who write. Viewers never, whatever they say first."""

import psycopg
import pytest
from psycopg import errors, sql

from agent_modules.module_utils.dbhost import installation, large_objects
from tests.modules.test_members import Person, connect, converge
from tests.support import dumps
from tests.support.dataplane import PROVISIONER

MAKING = (
    "lo_creat(-1)",
    "lo_create(0)",
    "lo_from_bytea(0, 'hello')",
    "lo_put({oid}, 0, 'x')",
    "lowrite(lo_open({oid}, 393216), 'x')",
)
CLEANING = ("lo_unlink({oid})", "lo_truncate(lo_open({oid}, 393216), 0)", "lo_truncate64(lo_open({oid}, 393216), 0)")
READING = {"lo_close", "lo_get", "lo_lseek", "lo_lseek64", "lo_open", "lo_tell", "lo_tell64", "loread"}
OF_SUPERUSERS = {"lo_import", "lo_export"}
READ_WRITE = (
    "BEGIN READ WRITE",
    "SET default_transaction_read_only = off; BEGIN",
    "BEGIN; SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; BEGIN",
)


@pytest.fixture
def viewer(dataplane, shop):
    person = Person(shop, "vie00000", "viewer")
    converge(dataplane, shop, person)
    return person


def make_one(dataplane, shop):
    """A large object that everybody may read and write."""
    with dataplane.connect(shop.name, shop.password) as owner:
        [oid] = owner.execute("SELECT lo_from_bytea(0, 'a large object')").fetchone()
        owner.execute(sql.SQL("GRANT ALL ON LARGE OBJECT {} TO PUBLIC").format(sql.Literal(oid)))
    return oid


def ask(client, begin, call, oid):
    client.execute(begin)
    try:
        return client.execute(f"SELECT {call.format(oid=oid)}").fetchone()
    finally:
        client.execute("ROLLBACK")


def refused_to(dataplane, shop, viewer, oid):
    with connect(dataplane, shop, viewer) as client:
        for begin in READ_WRITE:
            for call in (*MAKING, *CLEANING):
                with pytest.raises(errors.InsufficientPrivilege):
                    ask(client, begin, call, oid)
        assert ask(client, "BEGIN", "lo_get({oid})", oid) == (b"a large object",)


def test_every_function_of_large_objects_is_decided_about(dataplane):
    with dataplane.superuser() as connection:
        query = "SELECT proname FROM pg_proc WHERE prosrc LIKE 'be\\_lo%' AND pronamespace = 'pg_catalog'::regnamespace"
        known = {row[0] for row in connection.execute(query).fetchall()}
    writing = {name for names in large_objects.FUNCTIONS.values() for name in names}
    assert known == writing | READING | OF_SUPERUSERS
    assert {call.split("(")[0] for call in MAKING} == set(large_objects.FUNCTIONS[large_objects.MAKE])
    assert {call.split("(")[0] for call in CLEANING} == set(large_objects.FUNCTIONS[large_objects.CLEAN])


def test_viewers_never_write_them(dataplane, shop, viewer):
    refused_to(dataplane, shop, viewer, make_one(dataplane, shop))


def test_owner_and_developers_do(dataplane, shop):
    developer = Person(shop, "dev00000", "developer")
    converge(dataplane, shop, developer)
    oid = make_one(dataplane, shop)
    with connect(dataplane, shop, developer) as client, dataplane.connect(shop.name, shop.password) as owner:
        for session in (client, owner):
            for call in (*MAKING, *CLEANING):
                ask(session, "BEGIN", call, oid)


def test_so_it_is_after_a_restore_and_nothing_of_it_is_in_a_dump(dataplane, shop, viewer):
    oid = make_one(dataplane, shop)
    backup = dumps.wanted(shop.name)
    dumps.back_up(dataplane, backup)
    source = {"kind": "host", "folder": backup.folder, "filename": backup.filename}
    assert dumps.restore(dataplane, shop.name, source)["error"] is None
    converge(dataplane, shop, viewer)
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute(sql.SQL("GRANT ALL ON LARGE OBJECT {} TO PUBLIC").format(sql.Literal(oid)))
    refused_to(dataplane, shop, viewer, oid)
    with dataplane.superuser(shop.name) as connection:
        query = """SELECT p.proname FROM pg_proc AS p JOIN pg_init_privs AS i ON i.objoid = p.oid
                    WHERE i.classoid = 'pg_proc'::regclass AND i.initprivs IS DISTINCT FROM p.proacl
                      AND p.prosrc LIKE 'be\\_lo%'"""
        assert connection.execute(query).fetchall() == []  # that is what pg_dump compares


def test_a_database_over_its_limit_gets_no_more_of_them_and_loses_some(dataplane, shop):
    oid = make_one(dataplane, shop)
    converge(dataplane, shop, read_only=True, disconnect=True)
    with dataplane.connect(shop.name, shop.password) as owner:
        for begin in READ_WRITE:
            for call in MAKING:
                with pytest.raises(errors.InsufficientPrivilege):
                    ask(owner, begin, call, oid)
        owner.execute(f"BEGIN READ WRITE; SELECT lo_unlink({oid}); COMMIT")
    converge(dataplane, shop, disconnect=True)
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute("SELECT lo_create(0)")


def test_a_database_over_its_limit_can_be_restored(dataplane, shop, monkeypatch):
    make_one(dataplane, shop)
    backup = dumps.wanted(shop.name)
    dumps.back_up(dataplane, backup)
    converge(dataplane, shop, read_only=True, disconnect=True)
    source = {"kind": "host", "folder": backup.folder, "filename": backup.filename}
    done = dumps.restore(dataplane, shop.name, source)
    assert (done["error"], done["manifest"]["large_objects"]) == (None, 1)
    [after] = dataplane.converge(shop.item(read_only=True), check=True)
    assert not [change for change in after["changes"] if large_objects.MAKE in change]


@pytest.mark.parametrize("state", ["present", "stopped"])
def test_older_databases_are_closed_by_the_installer(dataplane, shop, state):
    """As one that was made of template0, with a tenant that is in no group yet."""
    oid = make_one(dataplane, shop)
    [group_make, group_clean] = [sql.Identifier(group) for group in (large_objects.MAKE, large_objects.CLEAN)]
    with dataplane.superuser(shop.name) as connection:
        for function in ("lo_create(oid)", "lo_put(oid, bigint, bytea)"):
            connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO PUBLIC").format(sql.SQL(function)))
            connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM {}").format(sql.SQL(function), group_make))
        for group in (group_make, group_clean):
            connection.execute(
                sql.SQL("REVOKE {} FROM {} GRANTED BY {}").format(
                    group, sql.Identifier(shop.name), sql.Identifier(PROVISIONER)
                )
            )
    viewer = Person(shop, "vie00000", "viewer")
    dataplane.converge(shop.item(members=[viewer.item], state=state))
    with dataplane.superuser() as connection:
        install = installation.restrict_large_objects
        told = [f'Take the making of large objects from PUBLIC in "{shop.name}"']
        assert install(connection, PROVISIONER, dataplane.superuser, check=True) == told
        assert install(connection, PROVISIONER, dataplane.superuser, check=False) == told
        assert install(connection, PROVISIONER, dataplane.superuser, check=False) == []
    converge(dataplane, shop, viewer, state=state)
    converge(dataplane, shop, viewer)
    refused_to(dataplane, shop, viewer, oid)
    with dataplane.connect(shop.name, shop.password) as owner:
        ask(owner, "BEGIN", "lo_create(0)", oid)


def test_no_tenant_gets_into_the_template(dataplane, shop):
    for way in (dataplane.connect, dataplane.direct):
        with pytest.raises(psycopg.OperationalError):
            way(shop.name, shop.password, large_objects.TEMPLATE)
    with dataplane.connect(shop.name, shop.password) as owner:
        for statement in (
            "CREATE DATABASE mine TEMPLATE {0}",
            "ALTER DATABASE {0} ALLOW_CONNECTIONS true",
            "GRANT {1} TO PUBLIC",
            "SET ROLE {1}",
            "GRANT {1} TO {2}",
        ):
            with pytest.raises(psycopg.Error):
                owner.execute(
                    sql.SQL(statement).format(
                        *map(sql.Identifier, (large_objects.TEMPLATE, large_objects.MAKE, shop.name + ".viewers"))
                    )
                )
