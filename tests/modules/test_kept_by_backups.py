"""What people did inside their database neither breaks its backups nor is lost by a restore, a clone or a move."""

import gzip

import psycopg
import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import kept_settings
from tests.support import dumps, rich
from tests.support.dataplane import verifier


def run(dataplane, tenant, *statements):
    """What the last of *statements* answers to the tenant."""
    with dataplane.connect(tenant.name, tenant.password) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
            while cursor.nextset():
                pass
        return cursor.fetchall() if cursor.description else None


def back_up(dataplane, tenant):
    backup = dumps.wanted(tenant.name)
    made = dumps.back_up(dataplane, backup)
    return dumps.kept(backup, made), made


def restore(dataplane, name, source, made, into="replace"):
    done = dumps.restore(dataplane, name, {**source, "format": "plain_gzip"}, into, expect=made["manifest"])
    assert (done["error"], done["matches"], done["differences"]) == (None, True, [])
    return done


def settings_of(dataplane, name):
    """Those of the role everywhere, and in its database."""
    query = """SELECT s.setdatabase <> 0, s.setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
                LEFT JOIN pg_database d ON d.oid = s.setdatabase
                WHERE r.rolname = %s AND (d.datname = %s OR s.setdatabase = 0) ORDER BY 1"""
    with dataplane.superuser() as connection:
        return connection.execute(query, [name, name]).fetchall()


def rights_of(dataplane, tenant, database=None):
    """Every ACL in the database, with the tenant's own name left out."""
    query = """
    SELECT 'relation', oid::regclass::text,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner))::text
      FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, attacl::text FROM pg_attribute
     WHERE attacl IS NOT NULL AND attrelid >= 16384
    UNION ALL SELECT 'routine', oid::regprocedure::text, proacl::text FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'type', typname, typacl::text FROM pg_type
     WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    UNION ALL SELECT 'schema', nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^(pg_|information)'
    UNION ALL SELECT 'default', defaclobjtype::text || coalesce(defaclnamespace::text, ''), defaclacl::text
      FROM pg_default_acl
    UNION ALL SELECT 'large object', md5(lo_get(oid)), lomacl::text FROM pg_largeobject_metadata
    ORDER BY 1, 2"""
    with dataplane.superuser(database or tenant.name) as connection:
        rows = connection.execute(query).fetchall()
    listed = [(kind, name, (acl or "").strip("{}").replace(tenant.name, "*")) for kind, name, acl in rows]
    return [(kind, name, sorted(acl.split(","))) for kind, name, acl in listed]


FUNCTIONS = """
CREATE SCHEMA app;
CREATE FUNCTION public.clean(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'select lower(btrim(t))';
CREATE FUNCTION public.is_clean(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$ begin return clean(t) = t; end $$;
CREATE FUNCTION app.short(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ begin return left(clean(t), 3); end $$;
CREATE FUNCTION app.of_own(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ begin return short(t); end $$;
CREATE DOMAIN tidy AS text CHECK (is_clean(VALUE));
CREATE TABLE public.people (id serial PRIMARY KEY, name text CHECK (is_clean(name)), also tidy,
  brief text GENERATED ALWAYS AS (clean(name)) STORED);
CREATE TABLE parts (name text) PARTITION BY LIST (clean(name));
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
CREATE INDEX ON people (app.short(name));
CREATE UNIQUE INDEX ON people (clean(name)) WHERE is_clean(name);
INSERT INTO public.people (name, also) VALUES ('bob', 'x'), ('alice', 'y');
INSERT INTO parts VALUES ('A'), ('b');
"""


def test_functions_that_need_a_search_path(dataplane, shop, tenants):
    run(dataplane, shop, FUNCTIONS)
    run(dataplane, shop, "ALTER FUNCTION app.of_own SET work_mem = '5MB'")
    run(dataplane, shop, "ALTER ROLE CURRENT_USER SET search_path = app, public")
    run(dataplane, shop, "SET search_path = app, public; CREATE TABLE app.more (name text CHECK (of_own(name) <> 'x'))")
    run(dataplane, shop, "SET search_path = app, public; INSERT INTO app.more VALUES ('something')")
    source, made = back_up(dataplane, shop)
    before = run(dataplane, shop, "SELECT * FROM people ORDER BY id")
    restore(dataplane, shop.name, source, made)
    assert run(dataplane, shop, "SELECT * FROM public.people ORDER BY id") == before
    query = "SELECT proname, proconfig FROM pg_proc WHERE proconfig IS NOT NULL AND pronamespace > 16383"
    assert run(dataplane, shop, query) == [("of_own", ["work_mem=5MB"])]
    other = tenants()
    dataplane.converge(other.item())
    restore(dataplane, other.name, source, made, "new")
    assert run(dataplane, other, "SELECT * FROM public.people ORDER BY id") == before


def test_a_dump_with_search_paths_is_loaded_by_plain_psql(dataplane, shop, tenants):
    """The file is one script in restricted mode, which anybody's psql takes."""
    run(dataplane, shop, FUNCTIONS)
    source, _ = back_up(dataplane, shop)
    text = gzip.decompress((dataplane.state_dir / "backups" / source["folder"] / source["filename"]).read_bytes())
    other = tenants()
    dataplane.converge(other.item())
    dumps.psql(dataplane, other, text)
    assert run(dataplane, other, "SELECT count(*) FROM people") == [(2,)]


CHECKED = """
CREATE SCHEMA "app's";
CREATE FUNCTION "app's".clean(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'select lower(btrim(t))';
CREATE FUNCTION public.is_clean(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$ begin return clean(t) = t; end $$;
CREATE TABLE public.people (id serial PRIMARY KEY, name text CHECK (is_clean(name)));
SET search_path = public, "app's";
INSERT INTO public.people (name) VALUES ('bob');
"""


@pytest.mark.parametrize("options", [["-Fp"], ["-Fc"]], ids=" ".join)
def test_a_dump_from_elsewhere_that_needs_a_search_path(dataplane, shop, tenants, options):
    run(dataplane, shop, CHECKED)
    other = tenants()
    dataplane.converge(other.item())
    done = dumps.restore(dataplane, other.name, dumps.uploaded(dataplane, dumps.archive(dataplane, shop, *options)))
    assert (done["error"], "Load it once more with a search_path" in done["changes"]) == (None, True)
    assert run(dataplane, other, "SELECT name FROM public.people") == [("bob",)]


def test_what_is_still_not_found_is_told_as_at_first(dataplane, shop):
    text = b"SELECT pg_catalog.set_config('search_path', '', false);\nSELECT public.nobody();\n"
    error = dumps.restore(dataplane, shop.name, dumps.uploaded(dataplane, text))["error"]
    assert (error["code"], "public.nobody()" in error["message"]) == ("restore_failed", True)


def test_settings_of_the_role_are_kept(dataplane, shop, tenants):
    role = f'ALTER ROLE "{shop.name}"'
    here = f'{role} IN DATABASE "{shop.name}"'
    run(dataplane, shop, "CREATE TABLE t (i int)", f"{here} SET statement_timeout = '42s'")
    run(dataplane, shop, f"""{here} SET search_path = app, "$user", "o""dd, one", '' """)
    run(dataplane, shop, f"""{role} SET application_name = E'it''s\\\\ "quoted"'""")
    run(dataplane, shop, f"{role} SET default_transaction_read_only = off")
    before = settings_of(dataplane, shop.name)
    assert [len(config) for _, config in before] == [2, 2]
    source, made = back_up(dataplane, shop)
    restore(dataplane, shop.name, source, made)
    assert settings_of(dataplane, shop.name) == before
    other = tenants()
    dataplane.converge(other.item())
    restore(dataplane, other.name, source, made, "new")
    assert settings_of(dataplane, other.name) == before
    third = tenants()
    dataplane.converge(third.item())
    restore(dataplane, third.name, source, made, "scratch")
    assert settings_of(dataplane, third.name) == []


def test_settings_made_since_stay(dataplane, shop):
    run(dataplane, shop, "CREATE TABLE t (i int)")
    source, made = back_up(dataplane, shop)
    run(dataplane, shop, f"ALTER ROLE CURRENT_USER IN DATABASE \"{shop.name}\" SET work_mem = '7MB'")
    before = settings_of(dataplane, shop.name)
    restore(dataplane, shop.name, source, made)
    assert settings_of(dataplane, shop.name) == before == [(True, ["work_mem=7MB"])]


@pytest.mark.parametrize(
    ("kept", "names"),
    [('"$user", public', ["$user", "public"]), ('""', [""]), ("", []), ('"a""b, c" , d', ['a"b, c', "d"])],
)
def test_a_list_is_read_as_postgresql_keeps_it(kept, names):
    assert kept_settings.listed(kept) == names


HOSTILE = """
CREATE TABLE seen (who name, what text);
CREATE FUNCTION spy(word text) RETURNS boolean LANGUAGE plpgsql AS $$
begin
  insert into public.seen values (session_user, word);
  raise exception 'policy ran as %', session_user;
end $$;
CREATE TABLE acc (id int, tenant text);
INSERT INTO acc SELECT g, CASE g % 2 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 100) g;
CREATE MATERIALIZED VIEW seen_by_owner AS SELECT id FROM acc;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM seen_by_owner;
ALTER TABLE acc ENABLE ROW LEVEL SECURITY;
ALTER TABLE acc FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON acc USING (tenant = current_setting('app.tenant', true));
CREATE TABLE trap (id int);
INSERT INTO trap VALUES (1), (2);
ALTER TABLE trap ENABLE ROW LEVEL SECURITY;
ALTER TABLE trap FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON trap USING (spy('policy'));
"""


def rows_of_acc(dataplane, tenant):
    sums = "SELECT count(*), sum(id) FROM acc"
    with dataplane.superuser(tenant.name) as connection:
        return connection.execute(sums).fetchone()


def test_forced_row_security_hides_nothing_and_runs_no_policy(dataplane, shop, tenants):
    run(dataplane, shop, HOSTILE)
    source, made = back_up(dataplane, shop)
    assert made["manifest"]["tables_rows"] == {"public.acc": 100, "public.seen": 0, "public.trap": 2}
    restore(dataplane, shop.name, source, made)
    other = tenants()
    dataplane.converge(other.item())
    restore(dataplane, other.name, source, made, "new")
    for tenant in (shop, other):
        assert rows_of_acc(dataplane, tenant) == (100, 5050)
        forced = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"
        assert run(dataplane, tenant, forced) == [(2,)]
        assert run(dataplane, tenant, "SELECT count(*) FROM seen") == [(0,)]
        assert run(dataplane, tenant, "SET app.tenant = 'a'; SELECT count(*) FROM acc") == [(50,)]
        views = "SELECT count(*) FROM pg_matviews WHERE ispopulated"
        assert run(dataplane, tenant, views) == [(2,)]


def test_the_flag_stays_while_a_dump_is_made(dataplane, shop, monkeypatch):
    """Programs that rely on it see no other tenant's rows in the meantime."""
    run(dataplane, shop, HOSTILE)
    look, seen = dumps.dumping._run_pg_dump, []

    def looking(*arguments):
        seen.extend(run(dataplane, shop, "SET app.tenant = 'a'; SELECT count(*) FROM acc"))
        return look(*arguments)

    monkeypatch.setattr(dumps.dumping, "_run_pg_dump", looking)
    back_up(dataplane, shop)
    assert seen == [(50,)]


def test_the_reader_is_nobody_between_dumps(dataplane, shop):
    run(dataplane, shop, HOSTILE)
    back_up(dataplane, shop)
    with dataplane.superuser() as connection:
        of_it = "SELECT count(*) FROM pg_auth_members WHERE member = 'dbhost_reader'::regrole"
        assert connection.execute(of_it).fetchone() == (0,)
        owned = "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'dbhost_reader'::regrole"
        assert connection.execute(owned).fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError):
        dataplane.direct("dbhost_reader", "x", shop.name).close()


RIGHTS = """
CREATE TYPE mood AS ENUM ('ok');
CREATE TABLE open_to_all (id int, secret text);
CREATE TABLE given (id int);
CREATE TABLE taken (id int);
CREATE TABLE plain (id int);
CREATE SEQUENCE numbers;
CREATE VIEW seen AS SELECT id FROM open_to_all;
CREATE FUNCTION closed(a int, VARIADIC b text[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE done() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE SCHEMA "odd ""one; --";
REVOKE EXECUTE ON FUNCTION closed FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE done FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION total(int) FROM PUBLIC;
REVOKE USAGE ON TYPE mood FROM PUBLIC;
GRANT SELECT (id), UPDATE (secret) ON open_to_all TO PUBLIC;
GRANT USAGE ON SCHEMA "odd ""one; --" TO PUBLIC;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
REVOKE INSERT, TRUNCATE ON taken FROM CURRENT_USER;
GRANT SELECT ON seen TO PUBLIC;
GRANT USAGE ON SEQUENCE numbers TO PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
SELECT lo_from_bytea(4242, 'x');
GRANT SELECT ON LARGE OBJECT 4242 TO PUBLIC;
"""


def with_members(shop, *levels):
    """Its item with a member of each of *levels*; and their roles."""
    roles = [f"{shop.name}.{letter * 8}" for letter in "abc"[: len(levels)]]
    listed = [
        {"role": role, "level": level, "verifier": verifier("pw-member")}
        for role, level in zip(roles, levels, strict=True)
    ]
    return shop.item(members=listed), roles


def test_rights_are_kept(dataplane, shop, tenants):
    item, (viewer, developer) = with_members(shop, "viewer", "developer")
    assert dataplane.converge(item)[0]["error"] is None
    run(dataplane, shop, RIGHTS)
    run(dataplane, shop, f'REVOKE ALL ON plain FROM "{shop.name}.viewers"')
    run(dataplane, shop, f'GRANT ALL ON given TO "{developer}" WITH GRANT OPTION; GRANT INSERT ON given TO "{viewer}"')
    before = rights_of(dataplane, shop)
    source, made = back_up(dataplane, shop)
    restore(dataplane, shop.name, source, made)
    assert rights_of(dataplane, shop) == before
    again, _ = with_members(shop, "viewer", "developer")
    assert dataplane.converge(again)[0]["error"] is None
    assert rights_of(dataplane, shop) == before  # no grant to the viewers comes back
    with dataplane.connect(viewer, "pw-member", shop.name) as connection:
        assert connection.execute("SELECT count(*) FROM given").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM plain")


def test_rights_of_a_member_who_has_gone_harm_nothing(dataplane, shop):
    item, (viewer, developer) = with_members(shop, "viewer", "developer")
    assert dataplane.converge(item)[0]["error"] is None
    run(dataplane, shop, RIGHTS, f'GRANT ALL ON given TO "{developer}", "{viewer}"')
    source, made = back_up(dataplane, shop)
    assert dataplane.converge(shop.item())[0]["error"] is None
    restore(dataplane, shop.name, source, made)
    assert not any("aaaaaaaa" in part or "bbbbbbbb" in part for _, _, acl in rights_of(dataplane, shop) for part in acl)


def test_a_new_database_gets_the_rights_and_only_its_own_members(dataplane, shop, tenants):
    """As in a move, where the roles come after the data; and in a clone, where nobody is a member."""
    item, (_viewer, developer) = with_members(shop, "viewer", "developer")
    assert dataplane.converge(item)[0]["error"] is None
    run(dataplane, shop, RIGHTS, f'GRANT ALL ON given TO "{developer}"')
    before = rights_of(dataplane, shop)
    source, made = back_up(dataplane, shop)
    other = tenants()
    assert dataplane.converge(other.item(state="closed"))[0]["error"] is None
    restore(dataplane, other.name, source, made, "new")
    assert rights_of(dataplane, other) == before
    members, _ = with_members(other, "viewer", "developer")
    assert dataplane.converge(members)[0]["error"] is None
    assert rights_of(dataplane, other) == before
    assert dataplane.converge(other.item())[0]["error"] is None
    with dataplane.superuser() as connection:
        left = "SELECT count(*) FROM pg_roles WHERE rolname ~ %s"
        assert connection.execute(left, [f"^{other.name}[.][a-z]{{8}}$"]).fetchone() == (0,)


def test_every_setting_may_be_hostile(dataplane, shop, tenants):
    """Whatever its role sets that it may set, the dump is whole, and what is restored is the same."""
    with dataplane.connect(shop.name, shop.password) as connection:
        rich.fill(connection, 50)
        before = rich.checksum(connection)
    changed = []
    with dataplane.superuser(shop.name) as connection:
        listed = connection.execute(
            "SELECT name, vartype, setting, min_val, max_val, enumvals FROM pg_settings"
            " WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend') ORDER BY name"
        ).fetchall()
    with dataplane.connect(shop.name, shop.password) as connection:
        for name, kind, now, least, most, choices in [*listed, *extra()]:
            for value in hostile(name, kind, now, least, most, choices):
                statement = sql.SQL("ALTER ROLE CURRENT_USER SET {} = {}")
                try:
                    connection.execute(statement.format(sql.Identifier(name), sql.Literal(value)))
                except psycopg.Error:
                    continue
                changed.append(name)
                break
    assert len(changed) > 100
    source, made = back_up(dataplane, shop)
    with dataplane.superuser(shop.name) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(shop.name)))
    other = tenants()
    dataplane.converge(other.item())
    restore(dataplane, other.name, source, made, "new")  # which sets them all for that one, too
    assert len(settings_of(dataplane, other.name)[0][1]) == len(set(changed))
    restore(dataplane, other.name, source, made)
    _, made_again = back_up(dataplane, other)
    assert {**made_again["manifest"], "activity": 0} == {**made["manifest"], "activity": 0}
    for tenant in (shop, other):
        with dataplane.superuser() as connection:
            connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(tenant.name)))
        with dataplane.superuser(tenant.name) as connection:
            assert rich.checksum(connection) == before


def extra():
    """What pg_settings does not list."""
    return [
        ("role", "string", "none", None, None, None),
        ("session_authorization", "string", "", None, None, None),
    ]


def hostile(name, kind, now, least, most, choices):
    """Values that are as far from the usual one as can be, the worst first."""
    if name == "role":
        return ["none"]
    if kind == "bool":
        return ["off" if now == "on" else "on"]
    if kind == "enum":
        return [choice for choice in choices if choice != now]
    if kind in ("integer", "real"):
        return [value for value in ("1", least, most) if value not in (now, "0", "-1")]
    return ["nowhere", "SQL_ASCII", "xyz", "pg_temp", "UTC+7", "0.001"]
