"""What is in a snippet is what was put in, whatever it is: each is read back as its client reads it."""

import ast
import configparser
import json
import random
import re
import shlex
import string
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from psycopg import conninfo
from sqlalchemy import make_url

from webapp.web import more_snippets
from webapp.web.snippets import Connection

HOSTILE = string.ascii_letters + string.digits + """'"`\\$%&?#@:/;=+ <>{}[]|^~äß€🙂"""
ROOTS = (None, "system", "/var/lib/dbhost/tls/ca.crt")
SEEDS = range(40)
MAKERS = {id: make for id, _, make in more_snippets.ALL}


def some(seed: int, root: str | None, *, is_direct: bool = False, hostile: str = HOSTILE) -> Connection:
    draw = random.Random(seed)
    words = ["".join(draw.choices(hostile, k=draw.randint(1, 24))) for _ in range(3)]
    host = draw.choice(["db1.example.com", "192.0.2.7", "2001:db8::7"])
    return Connection(host, 6432, 6433, words[0], words[1], words[2], root, is_direct)


def text(connection: Connection, id: str) -> str:
    return MAKERS[id](connection)


def literals(source: str) -> list[str]:
    """The double-quoted strings."""
    return [json.loads(found) for found in re.findall(r'"(?:[^"\\]|\\.)*"', source)]


def of_url(url: str, c: Connection) -> None:
    parts = urlsplit(url)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (c.user, c.password)
    assert unquote(parts.path[1:]) == c.database
    assert (parts.hostname, parts.port) == (c.host, c.shown_port)


def of_libpq(url: str, c: Connection) -> None:
    found = conninfo.conninfo_to_dict(url)
    assert (found["user"], found["password"], found["dbname"]) == (c.user, c.password, c.database)
    assert (found["host"], int(found["port"])) == (c.host, c.shown_port)
    root = {None: None, "system": "system"}.get(c.root, "ca.crt")
    assert (found["sslmode"], found.get("sslrootcert")) == (c.sslmode, root)


def of_sqlalchemy(url: str, c: Connection) -> None:
    found = make_url(url)
    assert (found.username, found.password, found.database) == (c.user, c.password, c.database)
    assert (found.host, found.port) == (c.host, c.shown_port)


def first(source: str, prefix: str) -> str:
    return next(found for found in literals(source) if found.startswith(prefix))


def psql(source: str, c: Connection) -> None:
    program, url = shlex.split(source)
    assert program == "psql"
    of_libpq(url, c)


def python(source: str, c: Connection) -> None:
    of_libpq(first(source, "postgresql://"), c)


def sqlalchemy(source: str, c: Connection) -> None:
    of_sqlalchemy(first(source, "postgresql+"), c)


def plain_url(source: str, c: Connection) -> None:
    of_url(first(source, "postgresql://"), c)


def alembic(source: str, c: Connection) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(f"[alembic]\n{source}")
    assert make_url(parser["alembic"]["sqlalchemy.url"]).password == c.password


def django(source: str, c: Connection) -> None:
    values = ast.literal_eval(source.partition("DATABASES = ")[2])["default"]
    assert [values[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")] == [
        *(c.database, c.user, c.password, c.host, str(c.shown_port))
    ]


def jdbc(source: str, c: Connection) -> None:
    url = urlsplit(first(source, "jdbc:").removeprefix("jdbc:"))
    query = parse_qs(url.query, keep_blank_values=True)
    assert (query["user"], query["password"], unquote(url.path[1:])) == ([c.user], [c.password], c.database)
    assert "+" not in url.query  # which Java's decoder of a path would leave


def php(source: str, c: Connection) -> None:
    quoted = re.findall(r"'((?:[^'\\]|\\.)*)'", source)
    dsn, user, password = [re.sub(r"\\(.)", r"\1", found) for found in quoted[:3]]
    assert (user, password) == (c.user, c.password)
    found = conninfo.conninfo_to_dict(dsn.removeprefix("pgsql:").replace(";", " "))  # as pdo_pgsql does
    assert (found["host"], found["dbname"]) == (c.host, c.database.replace(";", " "))


def rails(source: str, c: Connection) -> None:
    values = yaml.safe_load(source)["production"]
    assert [values[key] for key in ("database", "username", "password", "port")] == [
        *(c.database, c.user, c.password, c.shown_port)
    ]


def dotnet(source: str, c: Connection) -> None:
    found = first(source, "Host=")
    values = {key: value.replace('""', '"') for key, value in re.findall(r'([A-Za-z ]+)="((?:[^"]|"")*)"', found)}
    assert [values[key] for key in ("Host", "Database", "Username", "Password")] == [
        *(c.host, c.database, c.user, c.password)
    ]


def prisma(source: str, c: Connection) -> None:
    pooled = json.loads(re.findall(r"^DATABASE_URL=(.*)$", source, re.MULTILINE)[0])
    direct = json.loads(re.findall(r"^DIRECT_URL=(.*)$", source, re.MULTILINE)[0])
    assert [urlsplit(url).port for url in (pooled, direct)] == [6432, 6433]
    assert unquote(urlsplit(direct).password or "") == c.password


READERS: dict[str, Callable[[str, Connection], None]] = {
    "psql": psql,
    "python": python,
    "sqlalchemy": sqlalchemy,
    "sqlalchemy-asyncpg": sqlalchemy,
    "alembic": alembic,
    "asyncpg": plain_url,
    "django": django,
    "node": plain_url,
    "postgres-js": plain_url,
    "prisma": prisma,
    "drizzle": plain_url,
    "jdbc": jdbc,
    "go": plain_url,
    "php": php,
    "rails": rails,
    "rust": plain_url,
    "dotnet": dotnet,
}


def test_every_snippet_has_a_reader() -> None:
    assert set(READERS) == {id for id, _, _ in more_snippets.ALL}


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("id", READERS)
def test_each_is_read_back_as_it_was(id: str, root: str | None) -> None:
    for seed in SEEDS:
        for is_direct in (False, True):
            connection = some(seed, root, is_direct=is_direct)
            READERS[id](text(connection, id), connection)


def test_no_path_of_a_server_and_no_string_of_public_authorities_where_clients_do_not_know_it() -> None:
    for root in ROOTS:
        for snippet in more_snippets.of(some(1, root)):
            assert "/var/lib" not in snippet.text
            if snippet.id in ("node", "postgres-js", "drizzle", "asyncpg", "jdbc", "go", "rust", "prisma"):
                assert "sslrootcert=system" not in snippet.text
            mentions = "ca.crt" in snippet.text
            assert mentions == (root is not None and root != "system"), snippet.id


def test_python_snippets_are_python() -> None:
    for id in ("python", "sqlalchemy", "sqlalchemy-asyncpg", "asyncpg", "django"):
        for root in ROOTS:
            ast.parse(text(some(2, root), id))


def test_the_page_names_every_client() -> None:
    page = (Path(__file__).parents[2] / "docs/connecting.md").read_text(encoding="utf-8")
    missing = [label for _, label, _ in more_snippets.ALL if f"| {label} |" not in page]
    assert not missing
