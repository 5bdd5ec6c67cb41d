"""Bring the control database's schema up to date."""

from alembic import command
from alembic.config import Config

from webapp.schema_version import MIGRATIONS


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
