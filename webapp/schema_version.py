"""Which schema the control database has, and which this code needs.

Read without Alembic: its import alone takes 9 MB in each web process.
"""

from pathlib import Path

from psycopg.errors import UndefinedTable

from webapp.db import connect

MIGRATIONS = Path(__file__).parent / "migrations"


def current(url: str) -> str | None:
    """The revision that the database at *url* has, or None before its first migration."""
    with connect(url) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except UndefinedTable:
            return None
    return found and str(found[0])


def newest() -> str:
    """The revision that this code needs: migrations are numbered, and their files named so."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def is_current(url: str) -> bool:
    """Whether the database at *url* has the schema that this code needs."""
    return current(url) == newest()
