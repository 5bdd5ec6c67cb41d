"""The control database: engine and sessions. Every libpq URL works, also with several hosts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

CONNECT_TIMEOUT_S = 5


def connect(url: str, **options: Any) -> psycopg.Connection[Any]:
    """Open one connection to *url* as libpq reads it.

    Prepared statements are off: the control database may sit behind a transaction-pooling PgBouncer.
    """
    options.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    return psycopg.connect(url, prepare_threshold=None, application_name="dbhost", **options)


def make_engine(url: str, *, pool_size: int = 10, max_overflow: int = 20) -> Engine:
    """An engine whose connections are opened by libpq from *url*, untouched."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_timeout=10,
        hide_parameters=True,  # an error must not carry a verifier or an encrypted password into the log
    )


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after the commit that the route makes."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def session_scope(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One session for one unit of work; whoever opens it commits, anything not committed is rolled back."""
    with sessions() as session:
        yield session
