"""A database over its storage limit: read, cleaned up, and not written to by programs that do not insist."""

import psycopg
import pytest
from psycopg import errors, sql


@pytest.fixture
def full(dataplane, shop):
    """A shop with two tables that has become read-only."""
    with dataplane.connect(shop.name, shop.password) as client:
        client.execute("CREATE TABLE goods AS SELECT generate_series(1, 1000) AS id; CREATE TABLE old_goods (id int)")
    become(dataplane, shop, read_only=True)
    return shop


def become(dataplane, tenant, **changes):
    """Converge it so, cutting its clients once as the worker asks; what was changed."""
    [result] = dataplane.converge(tenant.item(disconnect=True, **changes))
    assert result["error"] is None
    return result["changes"]


def identifier(name):
    return sql.Identifier(name)


def test_programs_that_write_are_refused(dataplane, full):
    with dataplane.connect(full.name, full.password) as client:
        assert client.execute("SELECT count(*) FROM goods").fetchone() == (1000,)
        for statement in (
            "INSERT INTO goods VALUES (1)",
            "UPDATE goods SET id = 2",
            "CREATE TABLE more (id int)",
            "COPY goods FROM PROGRAM 'true'",
            "SELECT lo_from_bytea(0, 'x')",
            "CREATE TABLE more AS SELECT 1",
        ):
            with pytest.raises((errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
                client.execute(statement)


def test_space_can_be_freed(dataplane, full):
    with dataplane.connect(full.name, full.password) as client:
        client.execute("BEGIN READ WRITE; DELETE FROM goods WHERE id > 10; DROP TABLE old_goods; COMMIT")
        client.execute("VACUUM FULL goods")  # by itself: it is allowed in a read-only transaction
        client.execute("VACUUM")
        client.execute("BEGIN READ WRITE; TRUNCATE goods; COMMIT")
        assert client.execute("SELECT count(*) FROM goods").fetchone() == (0,)
        with pytest.raises(errors.ReadOnlySqlTransaction):
            client.execute("INSERT INTO goods VALUES (1)")


def test_it_comes_back(dataplane, full):
    changes = become(dataplane, full)
    assert f'ALTER DATABASE "{full.name}" RESET default_transaction_read_only' in changes
    with dataplane.connect(full.name, full.password) as client:
        client.execute("INSERT INTO goods VALUES (1)")


def test_open_sessions_are_cut_so_that_none_keeps_writing(dataplane, shop):
    client = dataplane.connect(shop.name, shop.password)
    client.execute("CREATE TABLE goods (id int)")
    become(dataplane, shop, read_only=True)
    with pytest.raises(psycopg.OperationalError):
        client.execute("INSERT INTO goods VALUES (1)")
    with dataplane.connect(shop.name, shop.password) as again, pytest.raises(errors.ReadOnlySqlTransaction):
        again.execute("INSERT INTO goods VALUES (1)")


@pytest.mark.parametrize("scope", ["", " IN DATABASE {}"])
def test_a_tenants_own_setting_is_seen_and_taken_away(dataplane, full, scope):
    """`ALTER ROLE … SET` comes before the database's setting; a check finds it, a converge takes it away."""
    names = [identifier(full.name)] * (1 + scope.count("{}"))
    with dataplane.connect(full.name, full.password) as client:
        client.execute("BEGIN READ WRITE")
        client.execute(sql.SQL("ALTER ROLE {}" + scope + " SET default_transaction_read_only = off").format(*names))
        client.execute("COMMIT")
    [found] = dataplane.converge(full.item(read_only=True), check=True)
    assert any("RESET default_transaction_read_only" in change for change in found["changes"])
    become(dataplane, full, read_only=True)
    with dataplane.connect(full.name, full.password) as client, pytest.raises(errors.ReadOnlySqlTransaction):
        client.execute("INSERT INTO goods VALUES (1)")
    assert dataplane.converge(full.item(read_only=True), check=True)[0]["changes"] == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {} RESET default_transaction_read_only",
        "ALTER DATABASE {} SET default_transaction_read_only = off",
        "ALTER ROLE ALL SET default_transaction_read_only = off",
        "ALTER SYSTEM SET default_transaction_read_only = off",
    ],
)
def test_the_databases_setting_is_not_the_tenants(dataplane, full, statement):
    with dataplane.connect(full.name, full.password) as client:
        client.execute("SET default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            client.execute(sql.SQL(statement).format(identifier(full.name)))


def test_ownership_is_repaired_all_the_same(dataplane, full):
    with dataplane.superuser(full.name) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("CREATE SCHEMA foreign_one")
        connection.execute(sql.SQL("ALTER SCHEMA foreign_one OWNER TO {}").format(identifier("dbhost_provisioner")))
    changes = become(dataplane, full, read_only=True, repair_ownership=True)
    assert f'ALTER SCHEMA "foreign_one" OWNER TO "{full.name}"' in changes


@pytest.mark.parametrize(
    "writes",
    [
        ("SET default_transaction_read_only = off", "INSERT INTO goods VALUES (1)"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "INSERT INTO goods VALUES (1)"),
        ("BEGIN READ WRITE; INSERT INTO goods VALUES (1); COMMIT",),
    ],
)
def test_who_insists_may_write_and_is_shut_out_for_growing(dataplane, full, writes):
    """What PostgreSQL cannot hold, the door does: tests/worker/test_storage_limits.py shows it from the report on."""
    with dataplane.connect(full.name, full.password) as client:
        for statement in writes:
            client.execute(statement)
    assert dataplane.converge(full.item(read_only=True, state="stopped"))[0]["error"] is None
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(full.name, full.password)
    become(dataplane, full, read_only=True)
    with dataplane.connect(full.name, full.password) as client, pytest.raises(errors.ReadOnlySqlTransaction):
        client.execute("INSERT INTO goods VALUES (1)")
