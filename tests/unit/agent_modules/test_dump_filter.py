"""The filter of foreign dumps: whole statements by psql's rules, and nothing of what looks like one."""

import bz2
import contextlib
import gzip
import lzma

import pytest

from agent_modules.module_utils.dbhost import dump_filter, dump_text, psql_lexer
from agent_modules.module_utils.dbhost.dump_filter import Filter
from agent_modules.module_utils.dbhost.dump_tokens import Target
from agent_modules.module_utils.dbhost.errors import TenantError

TARGET = Target(
    extensions={"hstore"},
    settings={"client_encoding", "standard_conforming_strings", "default_tablespace"},
    roles={"shop"},
)
MADE = b"CREATE TABLE public.t (a integer);\n"


def run(text, size=1 << 20, **options):
    """What is sent for *text*, given in chunks of *size*, and what was skipped by kind."""
    text = text.encode() if isinstance(text, str) else text
    chosen = Filter(TARGET, **options)
    sent = b"".join(chosen.passed(iter([text[at : at + size] for at in range(0, len(text), size)])))
    return sent, {row["statement"]: row["count"] for row in chosen.skipped}


def refused(text, **options):
    with pytest.raises(TenantError) as caught:
        run(text, **options)
    return caught.value


LEFT_OUT = {
    "GRANT ALL ON t TO bob;": "GRANT",
    "grant select on t\n to bob;": "GRANT",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC;": "REVOKE",
    "ALTER TABLE ONLY public.t OWNER TO bob;": "ALTER … OWNER TO",
    'ALTER FUNCTION public.f(a integer, b "odd; name") OWNER TO "some; body";': "ALTER … OWNER TO",
    "ALTER DEFAULT PRIVILEGES FOR ROLE bob IN SCHEMA public GRANT ALL ON TABLES TO eve;": "ALTER DEFAULT PRIVILEGES",
    "ALTER DATABASE shop SET search_path TO 'a;b';": "ALTER DATABASE",
    "CREATE ROLE bob;": "CREATE ROLE",
    "ALTER ROLE bob WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:x';": "ALTER ROLE",
    "CREATE USER bob;": "CREATE USER",
    "CREATE DATABASE shop WITH TEMPLATE = template0;": "CREATE DATABASE",
    "DROP DATABASE IF EXISTS shop;": "DROP DATABASE",
    "CREATE TABLESPACE fast LOCATION '/x';": "CREATE TABLESPACE",
    "COMMENT ON DATABASE postgres IS 'x';": "COMMENT ON DATABASE",
    "COMMENT ON EXTENSION hstore IS 'x';": "COMMENT ON EXTENSION",
    "CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;": "CREATE EXTENSION plpgsql",
    "CREATE EXTENSION IF NOT EXISTS pg_stat_statements WITH SCHEMA public;": "CREATE EXTENSION pg_stat_statements",
    "DROP EXTENSION plpgsql;": "DROP EXTENSION plpgsql",
    "CREATE OR REPLACE PROCEDURAL LANGUAGE plpgsql;": "CREATE LANGUAGE plpgsql",
    "CREATE EVENT TRIGGER guard ON ddl_command_start EXECUTE FUNCTION public.et();": "CREATE EVENT TRIGGER",
    "ALTER EVENT TRIGGER guard OWNER TO bob;": "ALTER EVENT TRIGGER",
    "COMMENT ON EVENT TRIGGER guard IS 'x';": "COMMENT ON EVENT TRIGGER",
    "CREATE PUBLICATION p FOR ALL TABLES WITH (publish = 'insert');": "CREATE PUBLICATION",
    "ALTER PUBLICATION p ADD TABLES IN SCHEMA public;": "ALTER PUBLICATION",
    "CREATE SUBSCRIPTION s CONNECTION 'host=x password=y' PUBLICATION p;": "CREATE SUBSCRIPTION",
    "SECURITY LABEL FOR anon ON COLUMN public.t.a IS 'x';": "SECURITY LABEL",
    "SET SESSION AUTHORIZATION 'bob';": "SET SESSION AUTHORIZATION",
    "RESET SESSION AUTHORIZATION;": "RESET SESSION AUTHORIZATION",
    "SET ROLE bob;": "SET ROLE",
    "SET transaction_timeout = 0;": "SET transaction_timeout",
    "SET default_with_oids = false;": "SET default_with_oids",
    "SET default_tablespace = fast;": "SET default_tablespace",
    "CREATE POLICY p ON public.t FOR SELECT TO authenticated, anon USING (true);": (
        "CREATE POLICY for a role that does not exist here"
    ),
    "DROP TABLE public.t;": "DROP TABLE",
    "DROP SCHEMA IF EXISTS public;": "DROP SCHEMA",
    "ALTER TABLE ONLY public.t DROP CONSTRAINT t_pkey;": "ALTER … DROP",
    "ALTER TABLE IF EXISTS public.t ALTER COLUMN a DROP DEFAULT;": "ALTER … DROP",
}
KEPT = [
    "SET client_encoding = 'UTF8';",
    "SET myapp.tenant = 'x';",
    "SET default_tablespace = '';",
    "SET TIME ZONE 'UTC';",
    "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;",
    "ALTER TABLE t ADD COLUMN a int, OWNER TO bob;",
    "ALTER TABLE t ADD COLUMN drop int DEFAULT 1;",
    "CREATE PUBLICATION p FOR TABLE public.t;",
    "CREATE POLICY p ON public.t USING (a = 'TO authenticated');",
    "CREATE POLICY p ON public.t AS RESTRICTIVE TO shop, authenticated USING (true);",
    "CREATE USER MAPPING FOR shop SERVER s;",
    "COMMENT ON TABLE public.t IS 'GRANT ALL ON t TO bob;\nDROP TABLE t;';",
    "INSERT INTO t VALUES ('a\nGRANT SELECT ON orders TO reporting;\n');",
    "INSERT INTO t VALUES (E'it\\'s\nREVOKE ALL ON t FROM bob;\n');",
    "INSERT INTO t VALUES ('$argon2id$v=19$m=65536$c2FsdA', '$', '$$', 1);",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$\nGRANT ALL ON t TO bob;\n$_$;",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND;",
    'CREATE TABLE "a\nDROP TABLE t;\n" (b int);',
    "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO u VALUES (1); DELETE FROM v);",
    "SELECT 1 /* GRANT ALL ON t TO bob; /* nested ; */ '$$ */ AS x;",
    "SELECT 1 -- it's; $$\n AS x;",
    "SELECT a$$b, c FROM t;",
]


@pytest.mark.parametrize(("statement", "label"), LEFT_OUT.items())
def test_what_cannot_hold_is_left_out_whole_and_counted(statement, label):
    sent, skipped = run(f"{statement}\n{MADE.decode()}")
    assert (sent.strip(), skipped) == (MADE.strip(), {label: 1})


@pytest.mark.parametrize("statement", KEPT)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_all_else_is_passed_on_unchanged(monkeypatch, statement, size):
    monkeypatch.setattr("agent_modules.module_utils.dbhost.dump_filter._CHUNK", size)
    sent, skipped = run(MADE.decode() + statement + "\nSELECT 2;\n", size)
    assert (sent, skipped) == (MADE + statement.encode() + b"\nSELECT 2;\n", {})


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    "copy",
    [
        "COPY t (a, b) FROM stdin;",
        'copy "odd; t" from STDIN;',
        "COPY t FROM STDIN WITH (FORMAT csv, HEADER);",
        "COPY t FROM stdin WITH CSV DELIMITER ';';",
        "COPY t FROM stdin -- rows\n;",
        "COPY t FROM stdin USING DELIMITERS '|';\r",
    ],
)
def test_rows_are_no_statements(monkeypatch, copy, size):
    monkeypatch.setattr("agent_modules.module_utils.dbhost.dump_filter._CHUNK", size)
    rows = "GRANT ALL ON t TO bob;\n'\t$$\n\\.x\n/*\n\\N\n"
    sent, skipped = run(f"{copy}\n{rows}\\.\nGRANT ALL ON t TO bob;\nSELECT 1;\n", size)
    assert sent.replace(b"\r", b"") == f"{copy}\n{rows}\\.\nSELECT 1;\n".replace("\r", "").encode()
    assert skipped == {"GRANT": 1}


def test_strings_with_backslashes_are_read_as_the_session_does():
    value = "SELECT 'a\\';\nGRANT ALL ON t TO bob;\n';\n"
    assert run(f"SET standard_conforming_strings = off;\n{value}")[1] == {}
    assert refused(f"SET standard_conforming_strings = on;\n{value}").code == "incomplete_dump"


def test_what_is_dropped_later_is_dropped_unless_it_is_not_there():
    sent, skipped = run(MADE + b"DROP TABLE public.t;\nDROP VIEW IF EXISTS v;\nDROP INDEX CONCURRENTLY i;\n")
    assert skipped == {}
    assert b"EXECUTE $dbhost$DROP TABLE public.t$dbhost$; EXCEPTION WHEN undefined_table" in sent
    assert sent.endswith(b"DROP VIEW IF EXISTS v;\nDROP INDEX CONCURRENTLY i;\n")


def test_schemas_of_owners_who_are_not_here():
    sent, skipped = run('CREATE SCHEMA public;\nCREATE SCHEMA "od""d" AUTHORIZATION bob;\n')
    assert sent == b'CREATE SCHEMA IF NOT EXISTS public;\nCREATE SCHEMA "od""d";\n'
    assert skipped == {"AUTHORIZATION of CREATE SCHEMA": 1}


ALL = """--
-- PostgreSQL database cluster dump
--
CREATE ROLE bob;
\\connect template1
SET client_encoding = 'UTF8';
COMMENT ON SCHEMA public IS 'x';
CREATE DATABASE shop;
\\connect shop
CREATE TABLE one (a int);
COPY one (a) FROM stdin;
1
\\.
%s
--
-- PostgreSQL database cluster dump complete
--
"""
SECOND = "\\connect -reuse-previous=on \"dbname='my blog'\"\nCREATE TABLE two (a int);\n"


def test_one_database_of_pg_dumpall():
    sent, skipped = run(ALL % "")
    assert b"CREATE TABLE one" in sent
    assert skipped == {"CREATE ROLE": 1, "CREATE DATABASE": 1}


def test_several_databases_have_to_be_chosen_from():
    error = refused(ALL % SECOND)
    assert (error.code, "my blog, shop" in error.message) == ("several_databases", True)
    assert b"CREATE TABLE one" not in run(ALL % SECOND, database="my blog")[0]
    assert b"CREATE TABLE two" not in run(ALL % SECOND, database="shop")[0]
    assert b"\\.\n" in run(ALL % SECOND, database="shop")[0]
    assert refused(ALL % SECOND, database="nothing").code == "no_such_database"


HEADER, FOOTER = "-- PostgreSQL database dump\n", "-- PostgreSQL database dump complete\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT 1;\nCREATE TABLE t (a text DEFAULT 'x\n\n", 2),
        ("SELECT $x$ ;\n$$\n", 1),
        ("SELECT 1;\n/* open\n", 2),
        ("COPY t FROM stdin;\n1\n2\n", 4),
        (f"\n{HEADER}SELECT 1;\n", 2),
        (f"{HEADER}SELECT 1;\n{HEADER}{FOOTER}", 1),
        ("SELECT 1;\nBEGIN;\nCREATE TABLE t (a int);\n", 2),
        ("START TRANSACTION;\nSAVEPOINT a;\nROLLBACK TO a;\n", 1),
    ],
)
def test_what_is_cut_off_is_refused_with_the_line(text, line):
    error = refused(text)
    assert (error.code, error.message.partition(" of the file")[0]) == ("incomplete_dump", f"Line {line}")
    run(text, allow_incomplete=True)


@pytest.mark.parametrize(
    "line", ["\\! id", "\\i x", "\\copy t from x", "\\set x `id`", "SELECT 1 \\g x", "\\q", "\\gexec"]
)
def test_commands_for_psql_are_refused_with_the_line(line):
    error = refused(f"SELECT 1;\n\n{line}\n")
    assert (error.code, error.message.startswith("Line 3 of the file: ")) == ("command_in_dump", True)


def test_harmless_commands_are_passed_over():
    text = "\ufeff\\restrict k\n\\set ON_ERROR_STOP on\n\\encoding LATIN1\n\\unrestrict k\n\ufeffSELECT 1;\n\\.\n"
    assert run(text)[0] == b"SET client_encoding = 'LATIN1';\nSELECT 1;\n"


def test_lines_of_psql_are_lines_of_the_file():
    text = "\n\n-- x\nGRANT a TO b;\nSELECT 1;\n\n\nCREATE TABLE t\n(a int\n);\nGRANT a\nTO b;\n"
    text += "SELECT 3;COPY t FROM stdin;\n1\n2\n\\.\n"
    chosen = Filter(TARGET, before=2)
    sent = b"".join(chosen.passed(iter([text.encode()]))).split(b"\n")
    for words, line in {b"SELECT 1": 5, b"(a int": 8, b");": 8, b"SELECT 3": 13}.items():
        assert chosen.lines.of_statement(3 + next(at for at, row in enumerate(sent) if words in row)) == line
    assert chosen.lines.of_row(3 + sent.index(b"\\."), 2) == 15


@pytest.mark.parametrize(
    "piece",
    [
        b"x",
        b"'",
        b"-",
        b"(",
        b"$a",
        b"\\",
        b"/*",
        b"a ",
        b"$$ ",
        b"\n",
        b"E'\\",
        b"\\.",
        b"INSERT ",
        b"INSERT INTO t (",
    ],
)
@pytest.mark.parametrize("head", [b"", b"SELECT '", b"COPY t FROM stdin;\n", b"CREATE FUNCTION f() BEGIN "])
def test_memory_is_bounded_and_work_linear_for_any_one_long_line(piece, head):
    """Counted: bytes that are scanned, and the most that are held at once. One line, as a small file can hold it."""
    chunk = piece * ((1 << 15) // len(piece))

    def attempt(count):
        chosen, seen = Filter(TARGET), []
        original = chosen._scanned
        chosen._scanned = lambda data, *, final: seen.append(len(data)) or original(data, final=final)
        with contextlib.suppress(TenantError):
            for _ in chosen.passed(iter([head, *[chunk] * count])):
                pass
        return sum(seen), max(seen)

    few, _ = attempt(16)
    many, most = attempt(32)
    assert many <= 2.2 * few
    assert most <= dump_filter._CHUNK + len(chunk) + psql_lexer.TOKEN_LIMIT


def test_a_line_that_never_ends_stops_at_the_limit():
    taken = 0

    def endless():
        nonlocal taken
        yield b"INSERT INTO t VALUES ('"
        while True:
            taken += 1 << 20
            yield b"x" * (1 << 20)

    with pytest.raises(TenantError) as caught:
        for _ in Filter(TARGET, limit=8 << 20).passed(endless()):
            pass
    assert (caught.value.code, taken < 12 << 20) == ("statement_too_large", True)


def opened(tmp_path, data):
    class Progress:
        def add(self, _count):
            pass

    path = tmp_path / "dump"
    path.write_bytes(data)
    with path.open("rb") as file:
        dump = dump_text.opened(file, None, "auto", Progress())
        return dump.kind, b"".join(dump.chunks)


def test_what_follows_a_gzip_member_is_passed_over_as_gunzip_does(tmp_path):
    whole = gzip.compress(b"SELECT 1;\n")
    for padding in (b"", b"\0" * 700, b"\0", b"garbage", b"x"):
        assert opened(tmp_path, whole + padding)[1] == b"SELECT 1;\n"
    assert opened(tmp_path, whole + whole + b"\0" * 5)[1] == b"SELECT 1;\n" * 2
    with pytest.raises(TenantError):
        opened(tmp_path, whole + whole[:-3])


def test_the_content_decides_and_not_the_name(tmp_path):
    text = b"SELECT 1;\n" * 1000
    for pack in (gzip.compress, bz2.compress, lzma.compress, lambda data: gzip.compress(gzip.compress(data))):
        assert opened(tmp_path, pack(text))[1] == text
        assert opened(tmp_path, pack(b"PGDMP" + text))[0] == "custom"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("SELECT 1;\n".encode("utf-16"), "UTF-16"),
        ("-- dump\n".encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04xx", "zip"),
        (b"dir/toc.dat".ljust(257, b"\0") + b"ustar" + b"\0" * 300, "tar"),
    ],
)
def test_what_is_no_dump_is_refused_by_its_name(tmp_path, data, words):
    with pytest.raises(TenantError) as caught:
        opened(tmp_path, data)
    assert words in caught.value.message
