"""tenant_activity: every write in a database changes the fingerprint; reading, and what others do, does not."""

import os
import signal

import psycopg
import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import activity
from tests.support import dumps
from tests.support.dataplane import running, wait_for

KEPT = "CREATE TABLE goods (id int PRIMARY KEY, name text); INSERT INTO goods VALUES (1, 'a'), (2, 'b');"
MADE = "CREATE SEQUENCE numbers; SELECT setval('numbers', 7); CREATE MATERIALIZED VIEW seen AS SELECT * FROM goods"


@pytest.fixture
def busy(dataplane, shop):
    """A shop with some of everything that can be written to."""
    run(dataplane, shop, KEPT + MADE)
    return shop


def run(plane, tenant, *statements):
    with plane.connect(tenant.name, tenant.password) as client:
        for statement in statements:
            client.execute(statement)


def read(plane, tenant):
    """The fingerprint once every session has ended, as a move reads it."""
    plane.converge(tenant.item(state="closed"))
    found = activity.read(dumps.dump_user(plane), tenant.name)
    plane.converge(tenant.item())
    assert (found["sessions"], found["error"]) == (0, None)
    return found["activity"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO goods VALUES (3, 'c')",
        "UPDATE goods SET name = 'z' WHERE id = 1",
        "DELETE FROM goods WHERE id = 2",
        "TRUNCATE goods",
        "INSERT INTO goods SELECT 4, string_agg(md5(i::text), '') FROM generate_series(1, 5000) AS i",
        "WITH gone AS (DELETE FROM goods RETURNING *) INSERT INTO goods SELECT * FROM gone",
        "SELECT nextval('numbers')",
        "SELECT setval('numbers', 7, false)",
        "SELECT lo_from_bytea(0, 'x')",
        "CREATE TABLE more (id int)",
        "ALTER TABLE goods ADD price int",
        "COMMENT ON TABLE goods IS 'ours'",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE goods CASCADE",
    ],
)
def test_what_is_written_is_seen(dataplane, busy, statement):
    before = read(dataplane, busy)
    run(dataplane, busy, statement)
    assert read(dataplane, busy) != before


def test_what_was_rolled_back_may_have_been_written(dataplane, busy):
    before = read(dataplane, busy)
    run(dataplane, busy, "BEGIN; DELETE FROM goods; ROLLBACK")
    assert read(dataplane, busy) != before


def test_reading_and_looking_after_it_is_no_write(dataplane, busy, tenants):
    other = tenants()
    dataplane.converge(other.item())
    before = read(dataplane, busy)
    run(dataplane, busy, "SELECT * FROM goods", "SELECT last_value FROM numbers", "VACUUM", "ANALYZE")
    run(dataplane, other, KEPT + MADE)
    assert dumps.back_up(dataplane, dumps.wanted(busy.name))["manifest"]["activity"] == before
    assert read(dataplane, busy) == before


def test_a_session_that_is_there_is_counted(dataplane, busy):
    with dataplane.direct(busy.name, busy.password) as client:
        client.execute("SELECT 1")
        assert activity.read(dumps.dump_user(dataplane), busy.name)["sessions"] >= 1


def test_what_is_committed_after_a_dumps_snapshot_is_not_in_its_fingerprint(dataplane, busy):
    """An open transaction is in neither; its counters come in when it ends."""
    with dataplane.direct(busy.name, busy.password) as client:
        client.execute("INSERT INTO goods VALUES (3, 'c')")
        manifest = dumps.back_up(dataplane, dumps.wanted(busy.name))["manifest"]
        client.commit()
    assert manifest["tables_rows"] == {"public.goods": 2}
    assert read(dataplane, busy) != manifest["activity"]


def test_tenants_can_neither_reset_nor_stop_the_counters(dataplane, busy):
    for statement in (
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_reset_single_table_counters('goods'::regclass)",
        "SET track_counts = off",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(dataplane, busy, statement)


def test_without_counters_there_is_no_proof(dataplane, busy):
    with dataplane.superuser() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET track_counts = off").format(sql.Identifier(busy.name)))
    assert read(dataplane, busy) is None


def test_counters_that_were_reset_prove_nothing(dataplane, busy):
    before = read(dataplane, busy)
    with dataplane.superuser(busy.name) as connection:
        connection.execute("SELECT pg_stat_reset_single_table_counters('goods'::regclass)")
    assert read(dataplane, busy) != before


def test_a_crash_of_postgres_changes_it(tenants):
    """Its counters are lost then, and would begin with the same figures again."""
    with running() as plane:
        tenant = tenants()
        plane.converge(tenant.item())
        run(plane, tenant, KEPT + MADE)
        before = read(plane, tenant)
        with plane.superuser() as connection:
            row = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
        os.kill(row[0], signal.SIGKILL)
        wait_for(lambda: plane.superuser().close(), psycopg.OperationalError)
        assert read(plane, tenant) != before
