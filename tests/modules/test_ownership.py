"""Every class of object that can have an owner: known, given back, and never in the way of a backup."""

import threading

import psycopg
import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import owned_objects, ownership, postgres
from tests.modules.test_members import Person, connect, converge
from tests.support import dumps

# What somebody makes who has the tenant's rights without its role.
BY_MEMBERS = {
    "pg_largeobject_metadata": "SELECT lo_from_bytea(0, 'hello')",
    "pg_namespace": "CREATE SCHEMA app",
    "pg_class": 'CREATE TABLE app."Odd %s {} ""one" (id serial PRIMARY KEY) PARTITION BY RANGE (id)',
    "partition": 'CREATE TABLE app.part PARTITION OF app."Odd %s {} ""one" DEFAULT',
    "view": "CREATE VIEW app.v AS SELECT 1 AS i; CREATE MATERIALIZED VIEW app.m AS TABLE app.v; CREATE SEQUENCE app.s",
    "pg_type": "CREATE TYPE app.c AS (i int); CREATE DOMAIN app.d AS int; CREATE TYPE app.r AS RANGE (subtype = int)",
    "pg_proc": "CREATE FUNCTION app.f(int[], text) RETURNS int LANGUAGE sql RETURN 1",
    "procedure": "CREATE PROCEDURE app.p(OUT i int) LANGUAGE sql AS 'SELECT 1'",
    "aggregate": "CREATE AGGREGATE app.a(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0')",
    "pg_operator": "CREATE OPERATOR app.<<< (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
    "pg_statistic_ext": 'CREATE STATISTICS app.st ON id, (id + 1) FROM app."Odd %s {} ""one"',
    "pg_collation": 'CREATE COLLATION app.co FROM "C"',
    "pg_conversion": "CREATE CONVERSION app.cv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "pg_ts_config": "CREATE TEXT SEARCH CONFIGURATION app.tc (COPY = simple)",
    "pg_ts_dict": "CREATE TEXT SEARCH DICTIONARY app.td (TEMPLATE = simple)",
    "pg_publication": "CREATE PUBLICATION pub FOR TABLE app.part",
    "pg_extension": "CREATE EXTENSION citext",
    "pg_default_acl": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;"
    " ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
    " ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT USAGE ON TYPES TO PUBLIC",
}
# What takes a superuser to make, who may hand it to anybody.
BY_SUPERUSER = {
    "pg_opfamily": "CREATE OPERATOR FAMILY app.fam USING btree; ALTER OPERATOR FAMILY app.fam USING btree OWNER TO {0}",
    "pg_opclass": "CREATE OPERATOR CLASS app.cls FOR TYPE int USING btree AS OPERATOR 1 <;"
    " ALTER OPERATOR CLASS app.cls USING btree OWNER TO {0}",
    "pg_foreign_server": "CREATE FOREIGN DATA WRAPPER wrapper;"
    " GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO {1}; CREATE SERVER away FOREIGN DATA WRAPPER wrapper;"
    " ALTER SERVER away OWNER TO {0}",
    "pg_user_mapping": "CREATE USER MAPPING FOR {0} SERVER away",
}
# Their owner must be a superuser, which no member can become.
OF_SUPERUSERS = {"pg_event_trigger", "pg_foreign_data_wrapper"}
# A language's owner was a superuser, and a subscription takes pg_create_subscription: neither can be a member's.
OUT_OF_REACH = {"pg_language", "pg_subscription"}


@pytest.fixture
def developer(dataplane, shop):
    person = Person(shop, "dev00000", "developer")
    converge(dataplane, shop, person)
    return person


def make_everything(dataplane, shop, developer):
    with connect(dataplane, shop, developer) as client:
        client.execute("SET ROLE NONE")
        for statement in BY_MEMBERS.values():
            client.execute(statement)
    with dataplane.superuser(shop.name) as connection:
        for statement in BY_SUPERUSER.values():
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, (developer.role, shop.name))))


def owners(dataplane, shop, role):
    """The catalogs in which *role* owns something, of all that PostgreSQL has."""
    with dataplane.superuser(shop.name) as connection:
        catalogs = owned_objects.catalogs(connection)
        one = "SELECT 1 FROM {} WHERE {} = (SELECT oid FROM pg_roles WHERE rolname = {})"
        return {
            table
            for table, column in catalogs
            if connection.execute(
                sql.SQL(one).format(sql.Identifier(table), sql.Identifier(column), sql.Literal(role))
            ).fetchone()
        }


def test_every_catalog_that_names_a_role_is_known(dataplane, shop):
    """A class that a newer PostgreSQL brings fails here until somebody has said how it changes hands."""
    with dataplane.superuser(shop.name) as connection:
        assert {table for table, _ in owned_objects.catalogs(connection)} == set(owned_objects.KINDS)
        query = """SELECT DISTINCT f.fktable::regclass::text FROM pg_get_catalog_foreign_keys() AS f
                    WHERE f.pktable = 'pg_authid'::regclass"""
        named = {row[0] for row in connection.execute(query).fetchall()}
        # A policy names roles and has no owner of its own.
        assert named == {*owned_objects.KINDS, *owned_objects.CLUSTER_WIDE, "pg_policy"}
        columns = """SELECT c.relname::text, a.attname::text FROM pg_attribute AS a
                       JOIN pg_class AS c ON c.oid = a.attrelid
                      WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND c.relname <> 'pg_authid'
                        AND (a.attname LIKE '%%owner' OR a.atttypid = 'regrole'::regtype)"""
        assert {row[0] for row in connection.execute(columns).fetchall()} <= named


def test_each_of_them_is_tried_here():
    tried = {*BY_MEMBERS, *BY_SUPERUSER, *OF_SUPERUSERS, *OUT_OF_REACH}
    assert set(owned_objects.KINDS) <= tried


def test_repair_gives_back_every_kind(dataplane, shop, developer):
    make_everything(dataplane, shop, developer)
    made = owners(dataplane, shop, developer.role)
    assert made == set(owned_objects.KINDS) - OF_SUPERUSERS - OUT_OF_REACH
    item = shop.item(members=[developer.item], repair_ownership=True)
    [predicted] = dataplane.converge(item, check=True)
    [done] = dataplane.converge(item)
    assert (done["error"], done["changes"]) == (None, predicted["changes"])
    assert owners(dataplane, shop, developer.role) == set()
    assert dataplane.converge(item)[0]["changes"] == []


def test_backups_go_on_whatever_a_member_makes(dataplane, shop, developer):
    make_everything(dataplane, shop, developer)
    made = dumps.back_up(dataplane, dumps.wanted(shop.name))
    assert made["manifest"]["large_objects"] == 1
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute("DROP SCHEMA app CASCADE; DROP EXTENSION citext")


def test_what_a_member_makes_while_the_dump_runs_does_not_break_it(dataplane, shop, developer, monkeypatch):
    """Made after the repair and before the snapshot: the dump is begun again."""
    plain, times = ownership.repair, []

    def late(inside, tenant, *, check):
        repaired = plain(inside, tenant, check=check)
        if not times:
            with connect(dataplane, shop, developer) as client:
                client.execute("SET ROLE NONE")
                client.execute("SELECT lo_from_bytea(0, 'late')")
        times.append(repaired.changes)
        return repaired

    monkeypatch.setattr(ownership, "repair", late)
    assert dumps.back_up(dataplane, dumps.wanted(shop.name))["manifest"]["large_objects"] == 1
    assert [len(changes) for changes in times] == [0, 1]


def test_an_owner_that_shut_itself_out_of_its_schema_keeps_it_so(dataplane, shop, developer):
    with connect(dataplane, shop, developer) as client:
        client.execute("SET ROLE NONE")
        client.execute("CREATE SCHEMA app; CREATE FUNCTION app.f() RETURNS int LANGUAGE sql RETURN 1")
        client.execute(sql.SQL("ALTER SCHEMA app OWNER TO {}").format(sql.Identifier(shop.name)))
        client.execute("RESET ROLE")
        client.execute(sql.SQL("REVOKE CREATE ON SCHEMA app FROM {}").format(sql.Identifier(shop.name)))
    changes = converge(dataplane, shop, developer, repair_ownership=True)
    assert f'ALTER ROUTINE app.f() OWNER TO "{shop.name}"' in changes
    with dataplane.connect(shop.name, shop.password) as owner:
        assert owner.execute("SELECT has_schema_privilege('app', 'CREATE')").fetchone() == (False,)


def test_very_many_objects_are_told_in_few_lines(dataplane, shop, developer):
    with connect(dataplane, shop, developer) as client:
        client.execute("SET ROLE NONE")
        client.execute("SELECT count(lo_create(0)) FROM generate_series(1, 5000)")
    changes = converge(dataplane, shop, developer, repair_ownership=True)
    assert len(changes) == 201
    assert changes[-1] == f'Give "{shop.name}" 4800 more objects'
    assert owners(dataplane, shop, developer.role) == set()


def test_the_provisioners_memberships_are_never_seen(dataplane, shop, developer):
    """Another session looks all the while."""
    make_everything(dataplane, shop, developer)
    seen, stop = [], threading.Event()

    def look():
        with dataplane.superuser() as connection:
            while not stop.is_set():
                seen.append(
                    connection.execute(
                        "SELECT count(*) FROM pg_auth_members WHERE set_option"
                        " AND member = 'dbhost_provisioner'::regrole"
                    ).fetchone()[0]
                )

    thread = threading.Thread(target=look)
    thread.start()
    with postgres.connect(dumps.cluster(dataplane), shop.name) as inside:
        ownership.repair(inside, shop.name, check=False)
    stop.set()
    thread.join()
    assert max(seen) == min(seen)


def test_who_is_removed_leaves_every_kind_to_the_owner(dataplane, shop, developer):
    make_everything(dataplane, shop, developer)
    changes = converge(dataplane, shop)
    assert f'DROP ROLE "{developer.role}"' in changes
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute("DROP SCHEMA app CASCADE; DROP PUBLICATION pub; DROP EXTENSION citext")
        with pytest.raises(psycopg.Error):
            owner.execute("DROP FOREIGN DATA WRAPPER wrapper")
