"""`dbhost db`: the control database's schema."""

import click

from webapp import database_admin
from webapp.config import settings
from webapp.embedded.environment import use_embedded


@click.group()
def db() -> None:
    """The control database."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the control database's schema up to date."""
    use_embedded()
    database_admin.upgrade(settings().database_url.get_secret_value())
