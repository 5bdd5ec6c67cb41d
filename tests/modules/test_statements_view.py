"""pg_stat_statements in a tenant's database: what its own roles said, and not a row of anybody else's."""

import pytest
from psycopg import errors, sql

from agent_modules.module_utils.dbhost import installation, statements_view
from tests.modules.test_members import Person, connect, converge
from tests.support import dumps
from tests.support.dataplane import PROVISIONER

READ = "SELECT query, calls, userid, dbid FROM pg_stat_statements"
OWN = "SELECT oid FROM pg_database WHERE datname = current_database()"


def say(client, word):
    """A statement of its own: names alone do not tell two apart, the number of columns does."""
    more = sql.SQL(", 1") * len(word)
    client.execute(sql.SQL("SELECT 1 AS {}{}").format(sql.Identifier(word), more))


def seen(client, word):
    return any(word in row[0] for row in client.execute(READ).fetchall())


def test_a_tenant_sees_what_it_said_and_how_often(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as owner:
        for _ in range(3):
            say(owner, "said_by_owner")
        found = [row for row in owner.execute(READ) if "said_by_owner" in row[0]]
        assert [(row[0][:29], row[1]) for row in found] == [('SELECT $1 AS "said_by_owner",', 3)]
        assert [(row[3],) for row in found] == owner.execute(OWN).fetchall()


def test_no_row_of_another_database_or_of_the_operators_roles_is_there(dataplane, shop, tenants):
    other = tenants()
    dataplane.converge(other.item())
    with dataplane.connect(other.name, other.password) as stranger:
        say(stranger, "said_by_stranger")
    with dataplane.superuser(shop.name) as superuser:
        say(superuser, "said_by_superuser")
    with dataplane.connect(shop.name, shop.password) as owner:
        say(owner, "said_by_owner")
        rows = owner.execute(READ).fetchall()
        [[database]] = owner.execute(OWN).fetchall()
        [[role]] = owner.execute("SELECT oid FROM pg_roles WHERE rolname = current_user").fetchall()
    assert {row[2:] for row in rows} == {(role, database)}
    assert not [row for row in rows if "stranger" in row[0] or "superuser" in row[0]]


def test_members_see_the_team_and_viewers_themselves(dataplane, shop):
    developer, viewer = Person(shop, "dev00000", "developer"), Person(shop, "vie00000", "viewer")
    converge(dataplane, shop, developer, viewer)
    with (
        dataplane.connect(shop.name, shop.password) as owner,
        connect(dataplane, shop, developer) as one,
        connect(dataplane, shop, viewer) as two,
    ):
        for client, word in ((owner, "said_by_owner"), (one, "said_by_developer"), (two, "said_by_viewer")):
            say(client, word)
        words = ("said_by_owner", "said_by_developer", "said_by_viewer")
        assert [seen(owner, word) for word in words] == [True, True, True]
        assert [seen(one, word) for word in words] == [True, True, True]
        assert [seen(two, word) for word in words] == [False, False, True]


def test_no_password_is_kept(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute(sql.SQL("ALTER ROLE {} PASSWORD 'hunter2hunter2'").format(sql.Identifier(shop.name)))
    with dataplane.superuser() as superuser:
        assert superuser.execute("SELECT count(*) > 0 FROM public.pg_stat_statements").fetchone() == (True,)
        query = "SELECT count(*) FROM public.pg_stat_statements WHERE query LIKE '%%hunter2hunter2%%'"
        assert superuser.execute(query).fetchone() == (0,)
    dataplane.converge(shop.item())


ATTACKS = (
    "SELECT * FROM pg_catalog.dbhost_all_statements(true)",
    "SELECT pg_stat_statements_reset()",
    "SELECT public.pg_stat_statements_reset()",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE OR REPLACE FUNCTION pg_catalog.dbhost_statements() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE VIEW pg_catalog.pg_stat_statements AS SELECT 1",
    "ALTER FUNCTION pg_catalog.dbhost_statements() SECURITY INVOKER",
    "GRANT EXECUTE ON FUNCTION pg_catalog.dbhost_all_statements(boolean) TO PUBLIC",
    "ALTER VIEW pg_catalog.pg_stat_statements OWNER TO CURRENT_USER",
    "DROP VIEW pg_catalog.pg_stat_statements",
    "SET ROLE dbhost_statements",
    "GRANT dbhost_statements TO CURRENT_USER",
    "DELETE FROM pg_stat_statements",
)


def test_a_tenant_can_neither_widen_it_nor_reset_it(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as owner:
        say(owner, "said_before")
        refusals = (errors.InsufficientPrivilege, errors.UndefinedFunction, errors.ObjectNotInPrerequisiteState)
        for statement in ATTACKS:
            with pytest.raises((*refusals, errors.InvalidSchemaName)):
                owner.execute(statement)
        assert seen(owner, "said_before")


SHADOWS = """
CREATE SCHEMA mine;
CREATE FUNCTION mine.yes(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR mine.= (LEFTARG = name, RIGHTARG = name, FUNCTION = mine.yes);
CREATE FUNCTION mine.yes(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR mine.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = mine.yes);
CREATE FUNCTION mine.current_database() RETURNS name LANGUAGE sql AS $$SELECT 'postgres'::name$$;
CREATE TEMP TABLE pg_roles AS SELECT * FROM pg_catalog.pg_roles;
CREATE TEMP TABLE pg_database AS SELECT * FROM pg_catalog.pg_database;
SET search_path = mine, pg_temp, pg_catalog
"""


def test_what_a_tenant_shadows_does_not_count(dataplane, shop, tenants):
    other = tenants()
    dataplane.converge(other.item())
    with dataplane.connect(other.name, other.password) as stranger:
        say(stranger, "said_by_stranger")
    with dataplane.direct(shop.name, shop.password) as owner:
        say(owner, "said_by_owner")
        owner.execute(SHADOWS)
        rows = owner.execute("SELECT * FROM pg_catalog.dbhost_statements()").fetchall()
        dbids = owner.execute("SELECT DISTINCT dbid FROM pg_catalog.dbhost_statements()").fetchall()
        query = "SELECT oid FROM pg_catalog.pg_database WHERE datname::text OPERATOR(pg_catalog.=) %s"
        assert rows
        assert dbids == owner.execute(query, [shop.name]).fetchall()


@pytest.mark.parametrize("state", ["present", "stopped"])
def test_an_older_database_gets_it_once(dataplane, shop, state):
    dataplane.converge(shop.item(state=state))
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format
    name = sql.Identifier(shop.name)
    with dataplane.superuser() as superuser:
        superuser.execute(allow(name, sql.SQL("true")))
        with dataplane.superuser(shop.name) as inside:
            inside.execute("SET allow_system_table_mods = on")
            inside.execute("DROP VIEW pg_catalog.pg_stat_statements")
            inside.execute("DROP FUNCTION pg_catalog.dbhost_statements(), pg_catalog.dbhost_all_statements(boolean)")
        superuser.execute(allow(name, sql.SQL("true" if state == "present" else "false")))
        told = [f'Show the statements of its own roles in "{shop.name}"']
        install = installation.prepare_databases
        assert install(superuser, PROVISIONER, dataplane.superuser, check=True) == told
        assert install(superuser, PROVISIONER, dataplane.superuser, check=False) == told
        assert install(superuser, PROVISIONER, dataplane.superuser, check=False) == []
        assert statements_view.pending(superuser, PROVISIONER) == []
    dataplane.converge(shop.item())
    with dataplane.connect(shop.name, shop.password) as owner:
        say(owner, "said_by_owner")
        assert seen(owner, "said_by_owner")


def test_a_dump_has_nothing_of_it(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute("CREATE TABLE goods (id int)")
        owner.execute("CREATE VIEW slow AS SELECT query, calls FROM pg_stat_statements")
    text = dumps.archive(dataplane, shop, "--format=plain").decode()
    assert "CREATE TABLE public.goods" in text
    assert "CREATE VIEW public.slow" in text
    assert "dbhost_" not in text
    assert "GRANT" not in text
    backup = dumps.wanted(shop.name)
    made = dumps.back_up(dataplane, backup)
    restored = dumps.restore(dataplane, shop.name, dumps.kept(backup, made), expect=made["manifest"])
    assert (restored["error"], restored["matches"]) == (None, True)
    with dataplane.connect(shop.name, shop.password) as owner:
        say(owner, "said_after_the_restore")
        assert owner.execute("SELECT count(*) FROM slow WHERE query LIKE '%after_the_restore%'").fetchone() == (1,)
