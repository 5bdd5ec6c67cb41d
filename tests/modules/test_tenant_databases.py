"""`tenant_databases` on a real cluster: check, run, again, break and heal."""

import psycopg
import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import databases, ownership
from tests.support.dataplane import PROVISIONER, verifier


def cluster_has(dataplane, name):
    with dataplane.superuser() as connection:
        roles = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
        databases_of_it = "SELECT count(*) FROM pg_database WHERE datname = %s"
        return tuple(connection.execute(query, [name]).fetchone()[0] for query in (roles, databases_of_it))


def stored_verifier(dataplane, name):
    with dataplane.superuser() as connection:
        return connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [name]).fetchone()[0]


def run_as_superuser(dataplane, template, name, database="postgres"):
    with dataplane.superuser(database) as connection:
        connection.execute(sql.SQL(template).format(sql.Identifier(name)))


def settled(dataplane, item):
    """True if one more run has nothing to do."""
    [result] = dataplane.databases(item)
    return result["error"] is None and not result["changed"]


def test_a_check_predicts_what_a_run_does_and_changes_nothing(dataplane, tenants):
    tenant = tenants()
    item = tenant.item()
    [predicted] = dataplane.databases(item, check=True)
    assert cluster_has(dataplane, tenant.name) == (0, 0)
    [done] = dataplane.databases(item)
    assert done["changes"] == predicted["changes"] != []
    assert cluster_has(dataplane, tenant.name) == (1, 1)
    assert settled(dataplane, item)


def test_what_is_made_is_what_security_asks_for(dataplane, shop):
    assert stored_verifier(dataplane, shop.name) == shop.verifier
    with dataplane.superuser(shop.name) as connection:
        role = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin, rolconnlimit"
            "  FROM pg_roles WHERE rolname = current_database()"
        ).fetchone()
        assert role == (False, False, False, False, False, True, 40)
        owner, acl, limit = connection.execute(
            "SELECT datdba::regrole::text, datacl::text[], datconnlimit"
            "  FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        assert (owner, limit) == (PROVISIONER, 40)
        assert sorted(acl) == sorted([f"{PROVISIONER}=CTc/{PROVISIONER}", f'"{shop.name}"=CTc/{PROVISIONER}'])
        schema = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'"
        assert connection.execute(schema).fetchone() == (f'"{shop.name}"',)
        members = (
            "SELECT count(*) FROM pg_auth_members"
            " WHERE member = %s::regrole AND (inherit_option OR set_option) AND roleid >= 16384"
        )
        assert connection.execute(members, [PROVISIONER]).fetchone() == (0,)


def test_absent_leaves_nothing_and_the_name_can_come_back(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("CREATE TABLE kept (i int)")
        assert dataplane.databases(shop.item(state="absent"))[0]["error"] is None
    assert cluster_has(dataplane, shop.name) == (0, 0)
    assert settled(dataplane, shop.item(state="absent"))
    dataplane.converge(shop.item())
    with dataplane.connect(shop.name, shop.password) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


def test_stopped_keeps_the_data_and_lets_nobody_in(dataplane, shop):
    with dataplane.direct(shop.name, shop.password) as session:
        session.execute("CREATE TABLE kept AS SELECT 7 AS i")
        session.commit()
        item = shop.item(state="stopped")
        assert dataplane.databases(item)[0]["error"] is None
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        dataplane.direct(shop.name, shop.password)
    assert settled(dataplane, item)
    dataplane.converge(shop.item())
    with dataplane.connect(shop.name, shop.password) as connection:
        assert connection.execute("SELECT i FROM kept").fetchone() == (7,)


def test_a_stale_generation_is_refused_and_recorded(dataplane, shop):
    old = shop.item()
    dataplane.databases(shop.item(connection_limit=9))
    [result] = dataplane.databases({**old, "state": "absent"})
    assert (result["error"]["code"], result["error"]["retryable"]) == ("stale_generation", False)
    assert cluster_has(dataplane, shop.name) == (1, 1)


def test_one_that_fails_does_not_stop_the_rest(dataplane, tenants):
    bad, good = tenants(), tenants()
    run_as_superuser(dataplane, "CREATE ROLE {} SUPERUSER", bad.name)
    results = {result["name"]: result for result in dataplane.databases(bad.item(), good.item(), {"name": "postgres"})}
    assert results[bad.name]["error"]["code"] == "foreign_role"
    assert results["postgres"]["error"]["code"] == "reserved_name"
    assert results[good.name]["error"] is None
    assert cluster_has(dataplane, bad.name) == (1, 0)
    run_as_superuser(dataplane, "DROP ROLE {}", bad.name)


@pytest.mark.parametrize("steps_done", range(1, 7))
@pytest.mark.parametrize("then", ["present", "absent"])
def test_a_run_killed_between_two_steps_is_healed(dataplane, tenants, monkeypatch, steps_done, then):
    tenant = tenants()
    apply_step, done = databases._apply_step, []

    def die_later(*arguments):
        if len(done) == steps_done:
            raise KeyboardInterrupt
        apply_step(*arguments)
        done.append(arguments)

    monkeypatch.setattr(databases, "_apply_step", die_later)
    if steps_done < 6:
        with pytest.raises(KeyboardInterrupt):
            dataplane.databases(tenant.item())
    monkeypatch.setattr(databases, "_apply_step", apply_step)
    [healed] = dataplane.converge(tenant.item(state=then))
    assert healed["error"] is None
    assert cluster_has(dataplane, tenant.name) == ((1, 1) if then == "present" else (0, 0))
    if then == "present":
        dataplane.connect(tenant.name, tenant.password).close()
        assert settled(dataplane, tenant.item())


def test_a_half_made_database_is_closed_to_its_tenant(dataplane, tenants, monkeypatch):
    tenant = tenants()

    def die(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(ownership, "hand_over_public", die)
    with pytest.raises(KeyboardInterrupt):
        dataplane.databases(tenant.item())
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        dataplane.direct(tenant.name, tenant.password)
    monkeypatch.undo()
    assert dataplane.databases(tenant.item())[0]["error"] is None


@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_interrupted_drop_is_finished_first(dataplane, shop, state):
    with dataplane.superuser() as connection:
        connection.execute(
            "UPDATE pg_database SET datconnlimit = -2, datallowconn = false WHERE datname = %s", [shop.name]
        )
    item = shop.item(state=state)
    assert dataplane.databases(item)[0]["error"] is None
    assert cluster_has(dataplane, shop.name) == ((1, 1) if state == "present" else (0, 0))
    assert settled(dataplane, item)


def test_a_password_that_the_tenant_changed_is_restored(dataplane, shop):
    item = shop.item()
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'its own'").format(sql.Identifier(shop.name)))
    [result] = dataplane.databases(item)
    assert [change for change in result["changes"] if "PASSWORD" in change]
    assert stored_verifier(dataplane, shop.name) == shop.verifier
    assert settled(dataplane, item)


@pytest.mark.parametrize(
    "by_hand",
    [
        "ALTER ROLE {} CREATEDB CREATEROLE VALID UNTIL '2001-01-01'",
        "ALTER ROLE {} CONNECTION LIMIT 999",
        "ALTER ROLE {} NOLOGIN",
        "ALTER ROLE {} PASSWORD NULL",
        "ALTER DATABASE {} CONNECTION LIMIT 3",
        "ALTER DATABASE {} ALLOW_CONNECTIONS false",
        "GRANT CONNECT ON DATABASE {} TO PUBLIC",
        "GRANT ALL ON DATABASE {} TO pg_monitor",
        "REVOKE CONNECT ON DATABASE {0} FROM {0}",
        "GRANT CONNECT ON DATABASE {0} TO {0} WITH GRANT OPTION",
    ],
)
def test_a_change_by_hand_is_put_right(dataplane, shop, by_hand):
    run_as_superuser(dataplane, by_hand, shop.name)
    item = shop.item()
    [result] = dataplane.databases(item)
    assert (result["error"], result["changed"]) == (None, True)
    assert settled(dataplane, item)
    dataplane.direct(shop.name, shop.password).close()


def test_a_tenants_own_settings_are_its_own(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} SET work_mem = '9MB'").format(sql.Identifier(shop.name)))
    assert settled(dataplane, shop.item())


def test_a_database_of_somebody_else_is_reported_and_kept(dataplane, tenants):
    tenant = tenants()
    run_as_superuser(dataplane, "CREATE DATABASE {}", tenant.name)
    for state in ("present", "stopped", "absent"):
        assert dataplane.databases(tenant.item(state=state))[0]["error"]["code"] == "foreign_database"
    assert cluster_has(dataplane, tenant.name) == (0, 1)
    run_as_superuser(dataplane, "DROP DATABASE {}", tenant.name)


def test_a_membership_by_hand_is_reported(dataplane, shop):
    run_as_superuser(dataplane, "GRANT pg_read_all_data TO {}", shop.name)
    assert dataplane.databases(shop.item())[0]["notes"] == ["The tenant role is a member of pg_read_all_data."]


def test_a_role_that_owns_things_elsewhere_is_not_dropped_by_force(dataplane, tenants):
    owner, other = tenants(), tenants()
    dataplane.converge(owner.item(), other.item())
    run_as_superuser(dataplane, "CREATE TABLE abroad (i int); ALTER TABLE abroad OWNER TO {}", owner.name, other.name)
    [result] = dataplane.databases(owner.item(state="absent"))
    assert result["error"]["code"] == "role_in_use"
    assert other.name in result["error"]["message"]
    run_as_superuser(dataplane, "DROP TABLE abroad; SELECT 1 AS {}", owner.name, other.name)
    assert dataplane.databases(owner.item(state="absent"))[0]["error"] is None


def test_a_cluster_that_is_down_is_retryable_for_each(dataplane, tenants):
    first, second = tenants(), tenants()
    port, dataplane.postgres_port = dataplane.postgres_port, 1
    try:
        results = dataplane.databases(first.item(), second.item())
    finally:
        dataplane.postgres_port = port
    assert [result["error"]["code"] for result in results] == ["postgres_unavailable"] * 2
    assert all(result["error"]["retryable"] for result in results)


def test_no_verifier_is_said(dataplane, shop):
    secret = verifier("another")
    said = str(dataplane.databases(shop.item(verifier=secret)))
    assert "PASSWORD" in said
    assert secret not in said
    assert secret.split("$")[2] not in said


def test_repair_gives_back_what_is_foreign_and_reports_what_it_may_not(dataplane, shop):
    statements = [
        "CREATE SCHEMA made; CREATE TABLE made.t (i serial PRIMARY KEY); CREATE VIEW made.v AS SELECT 1 AS i",
        "CREATE FUNCTION made.f(integer[], text) RETURNS int LANGUAGE sql RETURN 1; CREATE DOMAIN made.d AS int",
        "CREATE TYPE made.e AS ENUM ('a'); CREATE TYPE made.c AS (i int); CREATE SEQUENCE made.s",
        "CREATE PROCEDURE made.p(OUT i int) LANGUAGE sql AS 'SELECT 1'; CREATE EXTENSION pg_trgm",
        "CREATE AGGREGATE made.a(int) (SFUNC = int4pl, STYPE = int)",
    ]
    with dataplane.superuser(shop.name) as connection:
        connection.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(shop.name), sql.Identifier(PROVISIONER))
        )
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(PROVISIONER)))
        for statement in statements:
            connection.execute(statement)
        connection.execute("RESET ROLE")
        connection.execute("CREATE TABLE public.of_postgres (i int)")
    item = shop.item(repair_ownership=True)
    [predicted] = dataplane.databases(item, check=True)
    [done] = dataplane.databases(item)
    assert done["error"] is None
    assert done["changes"] == predicted["changes"]
    assert done["notes"] == ['TABLE "public"."of_postgres" belongs to postgres; left alone.']
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("DROP SCHEMA made CASCADE")
        extension = "SELECT extowner::regrole::text FROM pg_extension WHERE extname = 'pg_trgm'"
        assert connection.execute(extension).fetchone() == (PROVISIONER,)
    assert not dataplane.databases(item)[0]["changed"]
