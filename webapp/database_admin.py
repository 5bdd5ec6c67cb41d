"""Bring the control database's schema up to date, and say where it is."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from webapp.db import connect

MIGRATIONS = Path(__file__).parent / "migrations"


def configuration(url: str) -> Config:
    """Alembic's configuration for *url*, which stays out of Alembic's own options (they read `%`)."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Migrate the control database at *url* to the newest revision; a second call changes nothing."""
    command.upgrade(configuration(url), "head")


def current(url: str) -> str | None:
    """The revision that the database at *url* has, or None before its first migration."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(configuration("")).get_current_head()


def is_current(url: str) -> bool:
    """Whether the database at *url* has the schema that this code needs."""
    return current(url) == newest()
