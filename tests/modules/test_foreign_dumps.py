"""Dumps from elsewhere on a real server: what psql would load is loaded, and what is refused says where and why."""

import gzip
import os
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_modules.module_utils.dbhost.dump_filter import Filter
from agent_modules.module_utils.dbhost.dump_tokens import Target
from tests.support import dumps
from tests.support.servers import postgres_tool

NOISE = [
    "GRANT SELECT ON orders TO reporting;",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
    "ALTER TABLE public.t OWNER TO bob;",
    "ALTER DEFAULT PRIVILEGES FOR ROLE x GRANT ALL ON TABLES TO y;",
    "COMMENT ON EXTENSION plpgsql IS 'x';",
    "CREATE SCHEMA public;",
    "SET transaction_timeout = 0;",
    "DROP TABLE t;",
    "COPY t FROM stdin;",
    "BEGIN ATOMIC",
    "CREATE ROLE bob;",
    "\\connect other",
    "\\.",
    "\\restrict k",
    "-- PostgreSQL database dump",
    "--",
    "/*",
    "*/",
    "$$",
    "$_$",
    "$a",
    "'",
    "''",
    '"',
    "\\",
    "\\'",
    "E'",
    ";",
    "(",
    ")",
    "\t",
    "end",
    "é",
]
TEXTS = st.lists(st.sampled_from([*NOISE, "\n", " ", "a"]), max_size=8).map("".join)


def plain(text):
    return "'" + text.replace("'", "''") + "'"


def escaped(text):
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def dollar(text):
    tag = "$q$" if "$q" not in text and not text.endswith("$") else None
    return f"{tag}{text}{tag}" if tag else plain(text)


def comment(text):
    return "/* " + text.replace("*/", "* /").replace("/*", "/ *") + " */ "


def name(text):
    return '"' + ("n" + text.replace('"', '""'))[:50] + '"'


def row(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") + "\n"


VALUES = st.tuples(TEXTS, st.sampled_from([plain, escaped, dollar]), st.sampled_from(["", "/**/"])).map(
    lambda made: made[2] + made[1](made[0])
)
INSERTS = st.lists(VALUES, min_size=1, max_size=4).map(
    lambda values: f"INSERT INTO kept (word) VALUES {', '.join(f'({value})' for value in values)};\n"  # noqa: S608
)
COPIES = st.lists(TEXTS, max_size=4).map(
    lambda rows: "COPY kept (word) FROM stdin;\n" + "".join(map(row, rows)) + "\\.\n"
)
CSVS = st.lists(TEXTS.filter(lambda text: "\\." not in text), max_size=3).map(
    lambda rows: (
        "copy kept (word) FROM STDIN WITH (FORMAT csv);\n"
        + "".join('"' + text.replace('"', '""') + '"\n' for text in rows)
        + "\\.\n"
    )
)
GAPS = st.one_of(
    TEXTS.map(lambda text: "-- " + text.replace("\n", "\n-- ") + "\n"), TEXTS.map(comment), st.just("\n\n")
)
OTHERS = st.one_of(
    TEXTS.map(lambda text: f"COMMENT ON TABLE kept IS {plain(text)};\n"),
    TEXTS.map(lambda text: f"INSERT INTO kept SELECT {comment(text)} word FROM (SELECT 'x') AS {name(text)}(word);\n"),  # noqa: S608
    TEXTS.map(lambda text: f"INSERT INTO kept (word) VALUES ({dollar(text)}) -- {text.splitlines()[:1]}\n;\n"),  # noqa: S608
    TEXTS.map(
        lambda text: (
            "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC "
            f"SELECT CASE WHEN true THEN {plain(text)} END; SELECT {escaped(text)}; END;\n"
            "INSERT INTO kept SELECT f();\n"
        )
    ),
)
DUMPS = st.lists(st.one_of(INSERTS, COPIES, CSVS, GAPS, OTHERS), min_size=1, max_size=8).map("".join)
STATEMENTS = st.lists(st.one_of(INSERTS, COPIES, CSVS, OTHERS), min_size=1, max_size=8).map("".join)
EXAMPLES = settings(
    max_examples=int(os.environ.get("DBHOST_DUMP_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
EVERYTHING = "\n".join(NOISE)


@pytest.fixture(scope="module")
def scribe(dataplane, lasting_tenants):
    """A tenant whose database psql loads into as it is."""
    tenant = lasting_tenants()
    dataplane.converge(tenant.item())
    return tenant


def by_psql(dataplane, tenant, text, *options):
    """What plain psql loads of *text*, and the queries that it says it sent."""
    command = [postgres_tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", "-"]
    url = dataplane.url(tenant.name, tenant.password)
    done = subprocess.run([*command, url], input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


FRESH = "SET client_min_messages = warning; DROP TABLE IF EXISTS kept; CREATE TABLE kept (word text);\n"
SHOW = "SELECT md5(string_agg(word, '|' ORDER BY word COLLATE \"C\")), count(*) FROM kept;\n"


@example(f"INSERT INTO kept VALUES ({plain(EVERYTHING)}), ({escaped(EVERYTHING)});\n")  # noqa: S608
@example("COPY kept (word) FROM stdin;\n" + "".join(map(row, NOISE)) + "\\.\n")
@example("INSERT INTO kept VALUES ('$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA');\n")
@EXAMPLES
@given(DUMPS)
def test_what_is_loaded_is_what_psql_loads(dataplane, scribe, text):
    before = by_psql(dataplane, scribe, FRESH + text + SHOW)
    assert by_psql(dataplane, scribe, FRESH + filtered(text) + SHOW) == before


@EXAMPLES
@given(STATEMENTS)
def test_what_is_sent_is_what_psql_sends(dataplane, scribe, text):
    """The same statements, begun and ended at the same places: psql echoes each that it sends."""
    before = by_psql(dataplane, scribe, FRESH + text + SHOW, "-e")
    assert by_psql(dataplane, scribe, FRESH + filtered(text) + SHOW, "-e") == before


def filtered(text):
    return b"".join(Filter(Target(), limit=1 << 20).passed(iter([text.encode()]))).decode()


def load(dataplane, tenant, text, **source):
    data = text if isinstance(text, bytes) else text.encode()
    return dumps.restore(dataplane, tenant.name, {**dumps.uploaded(dataplane, data), **source})


def test_the_line_the_reason_and_what_to_do(dataplane, shop):
    cases = {
        "CREATE TABLE t (a int);\n\n\nINSERT INTO t\nVALUES ('secret');\n": (
            "Line 5 ",  # where the statement ends, as psql says it
            "22P02",
            "invalid input syntax",
        ),
        "CREATE TABLE t (a int, b int);\n-- x\nCOPY t FROM stdin;\n1\t2\n3\tsecret\n\\.\nSELECT 1;\n": (
            "Line 5 ",
            "row 2 of table t, column b",
            "22P02",
        ),
        "SELECT 1;\nGRANT a TO b;\nCREATE TABLE t (g geometry);\nCREATE EXTENSION postgis;\n": ("Line 3 ", "geometry"),
        "CREATE EXTENSION postgis;\nCREATE TABLE t (g geometry);\n": ("Line 2 ", "not here: postgis"),
        "CREATE TABLE t ();\nALTER TABLE t OWNER TO bob, ADD a int;\n": ("Line 2 ", 'role "bob" does not exist'),
        "CREATE TABLE t ();\n\nALTER SYSTEM SET work_mem = 1;\n": ("Line 3 ", "42501", "Take the statement out"),
    }
    for text, words in cases.items():
        message = load(dataplane, shop, text)["error"]["message"]
        assert [word for word in words if word not in message] == [], message
        assert "secret" not in message


def test_what_would_leave_nothing_is_refused_unless_it_is_meant(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("CREATE TABLE kept ()")
    for text in (
        "-- nothing\n",
        "SELECT 1;\n",
        "CREATE TABLE t ();\nDROP TABLE t;\n",
        "BEGIN; CREATE TABLE t (); ROLLBACK;\n",
    ):
        assert load(dataplane, shop, text)["error"]["code"] == "empty_dump"
    assert load(dataplane, shop, "BEGIN; CREATE TABLE t ();\n")["error"]["code"] == "incomplete_dump"
    assert (
        load(dataplane, shop, "CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n")["error"]["code"] == "incomplete_dump"
    )
    with dataplane.connect(shop.name, shop.password) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)
    assert load(dataplane, shop, "SELECT 1;\n", allow_incomplete=True)["error"] is None


@pytest.mark.parametrize(
    "options", [["--clean"], ["--clean", "--if-exists", "--create"], ["--inserts", "-c", "-C"], ["-Fc"]]
)
def test_dumps_of_pg_dump_load_twice_over(dataplane, shop, tenants, options):
    """All of pg_dump's ways; and again, joined, where --clean drops what the first has made."""
    other = tenants()
    dataplane.converge(other.item())
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("CREATE TABLE a (id serial PRIMARY KEY, word text DEFAULT 'GRANT x TO y;')")
        connection.execute("CREATE TABLE b (a int REFERENCES a); CREATE VIEW v AS SELECT * FROM a")
        connection.execute("INSERT INTO a (word) VALUES (E'x\\nGRANT ALL ON a TO b;\\n'), ('$$'), (DEFAULT)")
    data = dumps.archive(dataplane, shop, *options)
    if options == ["--clean"]:
        data = gzip.compress(data * 2) + b"\0" * 100
    assert load(dataplane, other, data)["error"] is None
    with dataplane.connect(other.name, other.password) as connection:
        rows = connection.execute("SELECT word FROM v ORDER BY id").fetchall()
    assert rows == [("x\nGRANT ALL ON a TO b;\n",), ("$$",), ("GRANT x TO y;",)]
