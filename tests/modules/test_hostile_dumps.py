"""A dump is somebody's program: what it says is done as its tenant or not at all (row 36 of the faults)."""

import gzip

import psycopg
import pytest

from agent_modules.module_utils.dbhost import scratch
from tests.support import dumps
from tests.support.dataplane import PROVISIONER

OUTSIDE = """
SELECT jsonb_build_object(
  'roles', (SELECT jsonb_object_agg(rolname, to_jsonb(a) - 'rolpassword' - 'oid') FROM pg_authid a),
  'members', (SELECT jsonb_agg(to_jsonb(m) - 'oid') FROM pg_auth_members m),
  'databases', (SELECT jsonb_object_agg(datname, jsonb_build_array(datdba, datallowconn, datconnlimit, datacl::text))
                  FROM pg_database),
  'settings', (SELECT jsonb_object_agg(name, setting) FROM pg_file_settings WHERE applied),
  'tablespaces', (SELECT jsonb_agg(spcname) FROM pg_tablespace))::text
"""
MARK = "/tmp/dbhost-hostile"

COMMANDS = [
    rf"\! touch {MARK}",
    rf"\o | touch {MARK}",
    rf"SELECT 1 \g | touch {MARK}",
    rf"SELECT 1 \g {MARK}",
    rf"\copy (SELECT 1) TO PROGRAM 'touch {MARK}'",
    rf"\copy (SELECT 1) TO '{MARK}'",
    r"\i /etc/passwd",
    r"\ir /etc/passwd",
    r"\connect {victim} {victim}",
    r"\c dbname={victim} user={victim}",
    r"\lo_import /etc/passwd",
    r"\set x `id`",
    r"\setenv PGUSER {victim}",
    r"\getenv x HOME",
    r"\gexec",
    r"\password {victim}",
    r"\unrestrict guessed",
    r"\restrict again",
    "SELECT 1 \\; \\! id",
    "SELECT 1 \\gset",
    "\\echo `id`",
    "\\q",
    "COPY (SELECT 1) TO STDOUT;\n\\! id",
]
# Of these only the name of the database means anything, and a file of one database may name any.
PASSED_OVER = {
    r"\connect {victim} {victim}",
    r"\c dbname={victim} user={victim}",
    r"\unrestrict guessed",
    r"\restrict again",
    "\\echo `id`",
}
KEPT = "CREATE TABLE secrets AS SELECT 'kept' AS word;"
STATEMENTS = [
    "ALTER SYSTEM SET log_statement = 'all'",
    f"COPY (SELECT 1) TO PROGRAM 'touch {MARK}'",
    f"COPY (SELECT 1) TO '{MARK}'",
    "CREATE ROLE helper SUPERUSER",
    "CREATE DATABASE other",
    'DROP DATABASE "{victim}"',
    'DROP DATABASE "{live}"',
    'ALTER DATABASE "{new}" RENAME TO taken',
    'ALTER DATABASE "{new}" CONNECTION LIMIT 1000',
    "ALTER DATABASE \"{new}\" SET session_preload_libraries = 'x'",
    "SET ROLE postgres",
    f"SET ROLE {PROVISIONER}",
    'SET SESSION AUTHORIZATION "{victim}"',
    'grant "{victim}" TO CURRENT_USER',
    'ALTER ROLE "{victim}" NOLOGIN',
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{victim}'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/dbhost-hostile')",
    "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    " CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()",
    "CREATE TABLE lines (line text); COPY lines FROM '/etc/passwd'",
    f"CREATE TABLE lines (line text); COPY lines FROM PROGRAM 'touch {MARK}'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "DO $$ BEGIN PERFORM pg_read_file('/etc/passwd'); END $$",
    f"DO $$ BEGIN EXECUTE 'SET SESSION AUTHORIZATION {PROVISIONER}'; END $$",
    "RESET SESSION AUTHORIZATION; ALTER ROLE postgres PASSWORD 'mine'",
    "CREATE FUNCTION system(text) RETURNS int LANGUAGE c AS 'libc.so.6', 'system'",
    "CREATE TABLESPACE mine LOCATION '/tmp'",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname={victim}' PUBLICATION p",
    "CREATE EXTENSION file_fdw",
    "CREATE EXTENSION plpython3u",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION postgres_fdw",
    "LOAD '/tmp/x.so'",
]


# What stands in a view's text, in a table's name and in a row, and what a forger writes there instead.
PLACES = {
    "V" * 200: "'::text AS word;\n%s\nSELECT '",
    "N" * 60: "n\n%s\n--",
    "D" * 200: "x\n\\.\n%s\n",
}


@pytest.fixture(scope="module")
def pair(dataplane, lasting_tenants):
    """Mallory, whose dump it is, and Bob, who has something to lose."""
    mallory, bob = lasting_tenants(), lasting_tenants()
    assert [result["error"] for result in dataplane.converge(mallory.item(), bob.item())] == [None, None]
    for tenant in (mallory, bob):
        with dataplane.connect(tenant.name, tenant.password) as connection:
            connection.execute("CREATE TABLE secrets AS SELECT 'kept' AS word")
    return mallory, bob


def outside(dataplane):
    """All that a dump could change beyond its own database."""
    with dataplane.superuser() as connection:
        [row] = connection.execute(OUTSIDE).fetchall()
    return row[0]


def restore(dataplane, pair, text):
    mallory, bob = pair
    own = scratch.names_of(mallory.name)
    for word, name in {"victim": bob.name, "live": own.live, "new": own.new}.items():
        text = text.replace(f"{{{word}}}", name)
    return dumps.restore(dataplane, mallory.name, dumps.uploaded(dataplane, gzip.compress(text.encode())))


def still_there(dataplane, tenant):
    with dataplane.connect(tenant.name, tenant.password) as connection:
        return connection.execute("SELECT word FROM secrets").fetchone() == ("kept",)


def test_no_command_for_psql_is_carried_out(dataplane, pair, tmp_path):
    before = outside(dataplane)
    codes = {}
    for command in COMMANDS:
        done = restore(dataplane, pair, f"{KEPT}\n{command}\nSELECT 1;\n")
        codes[command] = done["error"] and done["error"]["code"]
        assert not dumps.exists(MARK), command
    assert {command for command, code in codes.items() if code != "command_in_dump"} == PASSED_OVER
    assert outside(dataplane) == before
    assert still_there(dataplane, pair[0])
    assert still_there(dataplane, pair[1])


def test_a_dumps_own_restricted_mode_does_not_end_ours(dataplane, pair):
    """pg_dump writes its key at the top, so that who made the file knows it."""
    head = "--\n-- PostgreSQL database dump\n--\n\n\\restrict mine\n\nSELECT 1;\n\\unrestrict mine\n"
    text = f"{head}\\! touch {MARK}\n--\n-- PostgreSQL database dump complete\n--\n"
    done = restore(dataplane, pair, text)
    assert done["error"]["code"] == "command_in_dump"
    assert not dumps.exists(MARK)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_reaches_beyond_the_tenant(dataplane, pair, statement):
    with dataplane.connect(pair[1].name, pair[1].password) as bob:
        before = outside(dataplane)
        done = restore(dataplane, pair, f"{KEPT}\n{statement};\n")
        assert done["error"] or done["skipped"], statement
        assert outside(dataplane) == before
        assert bob.execute("SELECT word FROM secrets").fetchone() == ("kept",)
    assert still_there(dataplane, pair[0])
    assert not dumps.exists(MARK)


@pytest.fixture(scope="module")
def crafty(dataplane, lasting_tenants):
    """Whose archives have room for something else of the same length."""
    tenant = lasting_tenants()
    dataplane.converge(tenant.item())
    view, table, row = PLACES
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute(f"CREATE VIEW marked AS SELECT '{view}' AS word")
        connection.execute(f'CREATE TABLE "{table}" AS SELECT 1 AS i')
        connection.execute(f"CREATE TABLE rows AS SELECT '{row}' AS word")
    return tenant


@pytest.mark.parametrize("options", [["-Fc", "--compress=none"], ["-Ft"]], ids=" ".join)
@pytest.mark.parametrize(
    ("place", "line", "code"),
    [
        ("V", rf"\! touch {MARK}", "command_in_dump"),
        ("V", r"\connect {victim} {victim}", "several_databases"),
        ("V", f"COPY (SELECT 1) TO PROGRAM 'touch {MARK}';", "restore_failed"),
        ("V", 'SET SESSION AUTHORIZATION "{victim}";', None),  # left out
        ("V", "ALTER SYSTEM SET log_statement = 'all';", "restore_failed"),
        ("N", rf"\! touch {MARK}", None),  # a name with line ends is a name
        ("D", rf"\! touch {MARK}", "command_in_dump"),
    ],
)
def test_an_archive_with_a_forged_entry_is_no_way_round(dataplane, pair, crafty, tenants, options, place, line, code):
    """A view, a name and a row as pg_dump never writes them: pg_restore passes them on to psql."""
    target = tenants()
    dataplane.converge(target.item())
    before = outside(dataplane)
    data, line = dumps.archive(dataplane, crafty, *options), line.replace("{victim}", pair[1].name)
    for mark, text in PLACES.items():
        assert mark.encode() in data
        if mark[0] == place:
            data = data.replace(mark.encode(), (text % line).ljust(len(mark)).encode())
    done = dumps.restore(dataplane, target.name, dumps.uploaded(dataplane, data))
    assert (done["error"] and done["error"]["code"]) == code, done["error"]
    assert not dumps.exists(MARK)
    assert outside(dataplane) == before
    assert still_there(dataplane, pair[1])


def test_what_a_dump_leaves_behind_runs_as_its_tenant_alone(dataplane, pair, tenants):
    """Functions that wait for somebody stronger: in defaults, checks, indexes, triggers, operators and casts."""
    mallory, trap = pair[0], tenants()
    dataplane.converge(trap.item())
    text = """
    CREATE TABLE seen (who text, whom text);
    CREATE FUNCTION public.trap(text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.seen VALUES (session_user, current_user); RETURN $1; END $$;
    CREATE FUNCTION public.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.seen VALUES (session_user, current_user); RETURN 0; END $$;
    CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.seen VALUES (session_user, current_user); RETURN ''; END $$;
    CREATE TABLE goods (word text DEFAULT public.trap('x') CHECK (public.trap(word) <> ''));
    INSERT INTO goods VALUES ('a'), ('b');
    CREATE VIEW pg_database AS SELECT public.trap('v') AS datname;
    """
    done = dumps.restore(dataplane, trap.name, dumps.uploaded(dataplane, text.encode()))
    assert done["error"] is None
    assert [found["error"] for found in dataplane.converge(trap.item(repair_ownership=True))] == [None]
    dumps.back_up(dataplane, dumps.wanted(trap.name))
    with dataplane.superuser(trap.name) as connection:
        seen = {tuple(row) for row in connection.execute("SELECT who, whom FROM public.seen").fetchall()}
    assert seen == {(trap.name, trap.name)}
    assert still_there(dataplane, mallory)


def test_a_members_session_is_not_to_be_had_by_a_dump(dataplane, pair):
    """A dump that changes its own role is the tenant's own doing; the next converge takes it back."""
    mallory = pair[0]
    done = restore(
        dataplane, pair, "ALTER ROLE CURRENT_USER PASSWORD 'mine'; CREATE TABLE secrets AS SELECT 'kept' AS word;\n"
    )
    assert done["error"] is None
    dataplane.converge(mallory.item())
    assert still_there(dataplane, mallory)
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(mallory.name, "mine")
