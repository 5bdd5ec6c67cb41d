"""Alembic's environment: one connection, one transaction, one upgrade at a time."""

from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from webapp.config import settings
from webapp.db import connect
from webapp.models import Base

# Two upgrades take turns on this advisory lock; the number only has to differ from other applications'.
UPGRADE_LOCK = 0x6462686F7374
LOCK_TIMEOUT = "5s"


def control_url() -> str:
    """The URL that the caller put into the configuration, or the one of the environment."""
    url = context.config.attributes.get("url")
    return str(url) if url else settings().database_url.get_secret_value()


def include_object(_object: object, name: str | None, *_rest: object) -> bool:
    """Leave Procrastinate's own tables out of comparisons with the models."""
    return not (name or "").startswith(("procrastinate_", "idx_procrastinate_"))


def take_turn(connection: Connection) -> None:
    """Wait for other upgrades without a limit, then never wait long for anybody's table lock."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    connection.execute(text("SELECT set_config('lock_timeout', :timeout, true)"), {"timeout": LOCK_TIMEOUT})


def run() -> None:
    """Run what was asked inside one transaction: a migration that fails leaves nothing behind."""
    url = control_url()
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(url, patience_s=None), poolclass=NullPool)
    with engine.begin() as connection:
        take_turn(connection)
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_object=include_object,
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
