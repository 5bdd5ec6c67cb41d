"""A tenant that fills the cluster's queue of notifications."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

SMALL = {"max_notify_queue_pages": "64"}  # PostgreSQL's least: half a megabyte
FILL = "SELECT pg_notify('flood', n || repeat('x', 7000)) FROM generate_series(1, 20) AS n"

# Asked for it, PostgreSQL frees what everybody has read; while the queue is full nothing else does.
USAGE = "SELECT pg_notification_queue_usage()"


@contextmanager
def full(url: str) -> Iterator[psycopg.Connection[Any]]:
    """The queue is full while the block lasts: a listener that stays in its transaction reads nothing."""
    with psycopg.connect(url, autocommit=True) as holder, psycopg.connect(url, autocommit=True) as flood:
        holder.execute("LISTEN flood")
        holder.execute("BEGIN")
        try:
            while True:
                flood.execute(FILL)
        except psycopg.errors.ProgramLimitExceeded:
            pass
        for _ in range(100):  # what is left of the last page
            try:
                flood.execute("SELECT pg_notify('flood', repeat('x', 10))")
            except psycopg.errors.ProgramLimitExceeded:
                break
        yield holder
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(USAGE)
