"""Whatever a tenant makes comes back the same: its schema as pg_dump writes it, and every row.

By each of the ways there are: restored in place, into a new database (a clone, an undelete, a move), and downloaded and
imported elsewhere.
"""

import re

import pytest
from psycopg import sql

from tests.support import dumps, everything

ROWS = 30
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'v') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
# The last is an expression that PostgreSQL itself writes otherwise once it was reloaded.
_NOISE = re.compile(rb"^(\\(un)?restrict .*|-- Dumped .*| *CONSTRAINT events_kind_check .*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def original(dataplane, lasting_tenants):
    """The tenant with everything, its backup, its schema and its rows."""
    tenant = lasting_tenants()
    assert dataplane.converge(tenant.item())[0]["error"] is None
    with dataplane.connect(tenant.name, tenant.password) as connection:
        everything.fill(connection, ROWS)
    backup = dumps.wanted(tenant.name)
    made = dumps.back_up(dataplane, backup)
    source = dumps.kept(backup, made) | {"format": "plain_gzip"}
    return tenant, source, made, schema_of(dataplane, tenant), rows_of(dataplane, tenant)


def schema_of(dataplane, tenant):
    """As pg_dump writes it, rights and owners included, with the tenant's name left out."""
    text = _NOISE.sub(b"", dumps.archive(dataplane, tenant, "-s"))
    return text.replace(tenant.name.encode(), b"TENANT").decode().split("\n")


def rows_of(dataplane, tenant):
    """A digest of each table's rows, sequences and large objects; no policy hides one from the superuser."""
    digest = sql.SQL(
        "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM {} t"
    )
    with dataplane.superuser(tenant.name) as connection:
        connection.execute("SET timezone = 'UTC'")
        tables = connection.execute(_TABLES).fetchall()
        found = {table: connection.execute(digest.format(sql.Identifier(*table))).fetchone() for table in tables}
        others = {
            "sequences": "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2",
            "objects": "SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 2",
            "not populated": "SELECT matviewname FROM pg_matviews WHERE NOT ispopulated",
        }
        return found | {name: connection.execute(query).fetchall() for name, query in others.items()}


def same(dataplane, tenant, original):
    """Whether *tenant* has what the original had when it was backed up."""
    _, _, _, schema, rows = original
    assert rows_of(dataplane, tenant) == rows
    assert schema_of(dataplane, tenant) == schema


def test_there_is_everything(dataplane, original):
    """What the schema does not hold, nothing here tests: each kind of relation, type, function, constraint …"""
    kinds = {
        "SELECT DISTINCT relkind FROM pg_class WHERE oid >= 16384": {*"riSpvmctI"},
        "SELECT DISTINCT typtype FROM pg_type WHERE oid >= 16384": {*"bcderm"},
        "SELECT DISTINCT prokind FROM pg_proc WHERE oid >= 16384": {*"fpa"},
        "SELECT DISTINCT contype FROM pg_constraint": {*"cfnpux"} | {"t"},
        "SELECT DISTINCT relpersistence FROM pg_class WHERE oid >= 16384": {*"pu"},
        "SELECT DISTINCT attidentity FROM pg_attribute": {*"ad"} | {""},
    }
    with dataplane.superuser(original[0].name) as connection:
        version = connection.info.server_version
        for query, wanted in kinds.items():
            found = {row[0] for row in connection.execute(query).fetchall()}
            assert wanted - (set() if version >= 180000 else {"n"}) <= found, query


def test_restored_in_place(dataplane, original):
    tenant, source, made, _, _ = original
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("DROP SCHEMA other CASCADE; CREATE TABLE since (i int)")
    done = dumps.restore(dataplane, tenant.name, source, expect=made["manifest"])
    assert (done["error"], done["matches"]) == (None, True)
    same(dataplane, tenant, original)


@pytest.mark.parametrize("state", ["present", "closed"], ids=["cloned", "undeleted or moved"])
def test_restored_into_a_new_database(dataplane, original, tenants, state):
    _, source, made, _, _ = original
    other = tenants()
    assert dataplane.converge(other.item(state=state))[0]["error"] is None
    done = dumps.restore(dataplane, other.name, source, "new", expect=made["manifest"])
    assert (done["error"], done["matches"]) == (None, True)
    assert dataplane.converge(other.item())[0]["error"] is None
    same(dataplane, other, original)


def test_downloaded_and_imported_elsewhere(dataplane, original, tenants):
    _, source, _, _, _ = original
    data = (dataplane.state_dir / "backups" / source["folder"] / source["filename"]).read_bytes()
    other = tenants()
    assert dataplane.converge(other.item())[0]["error"] is None
    assert dumps.restore(dataplane, other.name, dumps.uploaded(dataplane, data))["error"] is None
    same(dataplane, other, original)


def test_a_backup_of_what_was_restored_is_the_same_again(dataplane, original, tenants):
    _, source, made, _, _ = original
    other = tenants()
    assert dataplane.converge(other.item())[0]["error"] is None
    assert dumps.restore(dataplane, other.name, source, "new", expect=made["manifest"])["error"] is None
    again = dumps.back_up(dataplane, dumps.wanted(other.name))["manifest"]
    assert {**again, "activity": None} == {**made["manifest"], "activity": None}
