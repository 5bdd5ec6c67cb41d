"""The isolation suite (row 40 of the faults): what one tenant must never be able to do to another, or to the host."""

import psycopg
import pytest
from psycopg import errors, sql

from agent_modules.module_utils.dbhost import scram
from tests.support.dataplane import PROVISIONER


@pytest.fixture(scope="module")
def pair(dataplane, lasting_tenants):
    """Alice, who attacks, and Bob, who has something to lose."""
    alice, bob = lasting_tenants(), lasting_tenants()
    assert [result["error"] for result in dataplane.converge(alice.item(), bob.item())] == [None, None]
    with dataplane.connect(bob.name, bob.password) as connection:
        connection.execute("CREATE TABLE secrets AS SELECT 'of bob' AS word")
    return alice, bob


@pytest.fixture
def alice(dataplane, pair):
    """Alice's session, as her program has it."""
    with dataplane.connect(pair[0].name, pair[0].password) as connection:
        yield connection


def attack(connection, statement, *names):
    """What the server says to *statement*."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names))).fetchall()
    return caught.value


@pytest.mark.parametrize("way", ["connect", "direct"])
def test_another_tenants_database_cannot_be_entered(dataplane, pair, way):
    attacker, victim = pair
    for user, password, database in [
        (attacker.name, attacker.password, victim.name),
        (victim.name, attacker.password, victim.name),
        (attacker.name, attacker.password, "postgres"),
        (attacker.name, attacker.password, "template1"),
        (attacker.name, attacker.password, "template0"),
        (attacker.name, attacker.password, "dbhost-control"),
    ]:
        with pytest.raises(psycopg.OperationalError):
            getattr(dataplane, way)(user, password, database)


@pytest.mark.parametrize("role", ["postgres", PROVISIONER, "pgbouncer", "dbhost_dump"])
@pytest.mark.parametrize("way", ["connect", "direct"])
def test_no_privileged_role_gets_in_over_tcp(dataplane, pair, role, way):
    for password in ("", pair[0].password, "postgres"):
        for database in ("postgres", pair[0].name, "pgbouncer"):
            with pytest.raises(psycopg.OperationalError):
                getattr(dataplane, way)(role, password, database)


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE {0}",
        "SET SESSION AUTHORIZATION {0}",
        "SET ROLE postgres",
        f"SET ROLE {PROVISIONER}",
        "SET ROLE pg_read_all_data",
        "SET ROLE pg_database_owner",
        "GRANT {0} TO CURRENT_USER",
        "GRANT {1} TO {0}",
        "ALTER ROLE {0} PASSWORD 'mine'",
        "ALTER ROLE {0} NOLOGIN",
        "DROP ROLE {0}",
        "DROP DATABASE {0}",
        "ALTER DATABASE {0} CONNECTION LIMIT 0",
        "GRANT CONNECT ON DATABASE {0} TO CURRENT_USER",
        "ALTER DATABASE {1} CONNECTION LIMIT 1000",
        "ALTER DATABASE {1} OWNER TO CURRENT_USER",
        "ALTER DATABASE {1} SET session_preload_libraries = 'x'",
        "ALTER DATABASE {1} RENAME TO other",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "ALTER ROLE CURRENT_USER CREATEROLE",
        "ALTER ROLE CURRENT_USER CREATEDB",
        "ALTER ROLE CURRENT_USER REPLICATION",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000",
        "ALTER ROLE CURRENT_USER SET temp_file_limit = -1",
        "CREATE ROLE helper",
        "CREATE DATABASE another",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SELECT pg_reload_conf()",
        "CHECKPOINT",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM pg_shadow",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT * FROM pg_hba_file_rules",
        "CREATE TABLE t (i text); COPY t FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/written'",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION pg_stat_statements",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
        "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()",
        "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p",
        "SELECT pg_create_physical_replication_slot('s')",
        "CREATE TABLESPACE t LOCATION '/tmp'",
        "LOAD '/tmp/x.so'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{0}'",
    ],
)
def test_a_statement_against_others_is_refused(dataplane, pair, alice, statement):
    attacker, victim = pair
    with dataplane.connect(victim.name, victim.password) as session:
        session.execute("SELECT 1")
        if "usename" in statement:
            statement, names = statement.replace("{0}", victim.name), []
        else:
            names = [victim.name, attacker.name]
        assert attack(alice, statement, *names).sqlstate == "42501"
        session.execute("SELECT * FROM secrets")


def test_another_tenants_queries_and_data_are_not_seen(dataplane, pair, alice):
    _, victim = pair
    with dataplane.connect(victim.name, victim.password) as session:
        session.execute("SELECT 'a word of bob'")
        seen = alice.execute("SELECT query FROM pg_stat_activity WHERE usename = %s", [victim.name]).fetchall()
        assert seen
        assert {row[0] for row in seen} == {"<insufficient privilege>"}
    assert alice.execute("SELECT to_regclass('secrets')").fetchone() == (None,)
    with pytest.raises(errors.FeatureNotSupported):
        alice.execute(sql.SQL("SELECT * FROM {}.public.secrets").format(sql.Identifier(victim.name)))


def test_the_pooler_does_not_carry_anything_from_one_tenant_to_another(dataplane, pair, alice):
    alice.execute("CREATE TEMP TABLE leftover (i int)")
    with dataplane.connect(pair[1].name, pair[1].password) as session:
        assert session.execute("SELECT current_user::text, to_regclass('leftover')").fetchone() == (pair[1].name, None)


def test_pgbouncers_console_is_closed_to_tenants(dataplane, pair):
    for user in (pair[0].name, "pgbouncer", "postgres"):
        with pytest.raises(psycopg.OperationalError):
            dataplane.connect(user, pair[0].password, "pgbouncer")


@pytest.mark.parametrize(
    "database", ["{0} host=127.0.0.1", "{0};{1}", '{1}"', "{1}\x01", "{0},{1}", "*", "all", "{1} user={0}"]
)
def test_a_forged_database_name_leads_nowhere(dataplane, pair, database):
    attacker, victim = pair
    asked = database.format(attacker.name, victim.name)
    with pytest.raises((psycopg.OperationalError, psycopg.ProgrammingError)):
        psycopg.connect(
            host="127.0.0.1",
            port=dataplane.pgbouncer_port,
            user=attacker.name,
            password=attacker.password,
            dbname=asked,
            sslmode="require",
        )


def test_a_verifier_is_no_password(dataplane, pair):
    for secret in (pair[1].verifier, pair[1].verifier.split("$")[2], ""):
        with pytest.raises(psycopg.OperationalError):
            dataplane.connect(pair[1].name, secret)


def test_a_tombstone_lets_nobody_in(dataplane, tenants):
    tenant = tenants()
    dataplane.converge(tenant.item())
    dataplane.converge(tenant.item(state="stopped"))
    [line] = [line for line in (dataplane.config_dir / "userlist.txt").read_text().splitlines() if tenant.name in line]
    scram.parse(line.split('"')[3])
    for secret in (tenant.password, line.split('"')[3], ""):
        with pytest.raises(psycopg.OperationalError):
            dataplane.connect(tenant.name, secret)


def test_a_tenant_still_owns_what_is_its_own(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as alice:
        use_everything(alice)


def use_everything(alice):
    alice.execute("CREATE SCHEMA app; CREATE TABLE app.t (i int); CREATE EXTENSION pg_trgm; CREATE EXTENSION citext")
    alice.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TEMP TABLE x (i int)")
