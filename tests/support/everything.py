"""A schema with everything that a tenant can make, to see that it comes back the same."""

from pathlib import Path

import psycopg

from tests.support import rich

SCHEMA = Path(__file__).with_name("everything.sql")
# By their condition: not every cluster has ICU, and PostgreSQL 18 has columns that are computed when they are read.
WHERE_THERE = (
    (
        "SELECT EXISTS (SELECT FROM pg_collation WHERE collname LIKE '%-x-icu')",
        "CREATE COLLATION other.numeric_de (provider = icu, locale = 'de-u-kn-true');"
        " CREATE TABLE other.icu (a text COLLATE other.numeric_de PRIMARY KEY);"
        " INSERT INTO other.icu VALUES ('ä10'), ('ä9')",
    ),
    (
        "SELECT current_setting('server_version_num')::int >= 180000",
        "CREATE TABLE other.computed (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL);"
        " INSERT INTO other.computed VALUES (1), (2)",
    ),
)
LANGUAGES = """
SELECT x.name FROM pg_available_extension_versions AS x
 WHERE x.trusted AND x.name IN ('plperl', 'pltcl', 'plv8', 'plpython3u') ORDER BY 1
"""


def fill(connection: psycopg.Connection, rows: int) -> None:
    """Make all of it, with *rows* rows in each of the larger tables."""
    rich.fill(connection, rows)
    for statement in _statements(SCHEMA.read_text(encoding="utf-8")):
        connection.execute(statement)
    for condition, text in WHERE_THERE:
        row = connection.execute(condition.encode()).fetchone()
        if row and row[0]:
            connection.execute(text.encode())
    for (language,) in connection.execute(LANGUAGES).fetchall():
        connection.execute(f"CREATE EXTENSION {language}".encode())
        function = f"CREATE FUNCTION other.in_{language}() RETURNS int LANGUAGE {language} AS 'return 1;'"
        connection.execute(function.encode())


def _statements(text: str) -> list[bytes]:
    """All at once, but for the one that PostgreSQL takes in no transaction."""
    head, mark, tail = text.partition("CREATE INDEX CONCURRENTLY")
    alone, _, rest = (mark + tail).partition(";\nCOMMENT ON INDEX")
    return [head.encode(), alone.encode(), b"COMMENT ON INDEX" + rest.encode()]
