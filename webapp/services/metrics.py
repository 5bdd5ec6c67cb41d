"""Samples of a database over time: how they are read, and how old ones are put together."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.models import Database, DatabaseFigures

DAY_S = 86400
RAW, FIVE_MINUTES, HOUR = 0, 300, 3600
# Samples of the first resolution become samples of the second when they are that old; the last are removed.
AGES = ((RAW, FIVE_MINUTES, DAY_S), (FIVE_MINUTES, HOUR, 31 * DAY_S))
KEEP_S = 366 * DAY_S
# A range of time and how much of it each point of the series covers.
RANGES = {
    "hour": (3600, 60),
    "day": (DAY_S, 600),
    "week": (7 * DAY_S, 3600),
    "month": (30 * DAY_S, 4 * 3600),
    "year": (365 * DAY_S, 2 * DAY_S),
}

COMPACTION_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('dbhost.compaction'))")
# Whole bins only, so that no bin is made twice.
COMPACT = text("""
    WITH old AS (
        DELETE FROM database_samples
        WHERE resolution_s = :finer
          AND at < date_bin(make_interval(secs => :coarser), now() - make_interval(secs => :age), 'epoch'::timestamptz)
        RETURNING *
    )
    INSERT INTO database_samples (database_id, resolution_s, at, duration_s, size_bytes, clients_active,
                                  clients_waiting, transactions, blocks_hit, blocks_read)
    SELECT database_id, :coarser, date_bin(make_interval(secs => :coarser), at, 'epoch'::timestamptz) AS bin,
           sum(duration_s), (array_agg(size_bytes ORDER BY at DESC))[1], max(clients_active),
           max(clients_waiting), sum(transactions), sum(blocks_hit), sum(blocks_read)
    FROM old GROUP BY database_id, bin
    ON CONFLICT (database_id, resolution_s, at) DO UPDATE SET
        duration_s = database_samples.duration_s + excluded.duration_s,
        size_bytes = excluded.size_bytes,
        clients_active = greatest(database_samples.clients_active, excluded.clients_active),
        clients_waiting = greatest(database_samples.clients_waiting, excluded.clients_waiting),
        transactions = database_samples.transactions + excluded.transactions,
        blocks_hit = database_samples.blocks_hit + excluded.blocks_hit,
        blocks_read = database_samples.blocks_read + excluded.blocks_read
""")
FORGET = text("DELETE FROM database_samples WHERE at < now() - make_interval(secs => :age)")
SERIES = text("""
    SELECT date_bin(make_interval(secs => :step), at, 'epoch'::timestamptz) AS bin,
           (array_agg(size_bytes ORDER BY at DESC))[1] AS size_bytes,
           max(clients_active) AS clients_active, max(clients_waiting) AS clients_waiting,
           sum(transactions)::float8 / nullif(sum(duration_s), 0) AS transactions_per_s,
           sum(blocks_hit)::float8 / nullif(sum(blocks_hit) + sum(blocks_read), 0) AS cache_hit_ratio
    FROM database_samples
    WHERE database_id = :database_id AND at > now() - make_interval(secs => :length)
    GROUP BY bin ORDER BY bin
""")


@dataclass(frozen=True)
class Point:
    """A database over one step of a series, which begins at `at`; None where it is not known."""

    at: datetime
    size_bytes: int
    clients_active: int
    clients_waiting: int
    transactions_per_s: float | None
    cache_hit_ratio: float | None


@dataclass(frozen=True)
class Metrics:
    """A database now, and over a range of time. Without a report yet there are no clients and no series."""

    size_bytes: int
    clients_active: int
    clients_waiting: int
    last_connection_at: datetime | None
    sampled_at: datetime | None
    step: timedelta
    series: list[Point]


def of_database(session: Session, database: Database, range_: str = "day") -> Metrics:
    """The metrics of *database* over one of RANGES. The caller has checked permission `view`."""
    length, step = RANGES[range_]
    figures = session.get(DatabaseFigures, database.id)
    return Metrics(
        size_bytes=database.size_bytes,
        clients_active=figures.clients_active if figures else 0,
        clients_waiting=figures.clients_waiting if figures else 0,
        last_connection_at=figures.last_connection_at if figures else None,
        sampled_at=figures.sampled_at if figures else None,
        step=timedelta(seconds=step),
        series=series(session, database.id, length, step),
    )


def series(session: Session, database_id: uuid.UUID, length: int, step: int) -> list[Point]:
    """One point for each *step* seconds of the last *length* in which there is a sample, oldest first."""
    rows = session.execute(SERIES, {"database_id": database_id, "length": length, "step": step})
    return [Point(*row) for row in rows]


def compact(session: Session) -> bool:
    """Put samples together that have come of age. False when another worker is at it. The caller commits."""
    if not session.execute(COMPACTION_LOCK).scalar_one():
        return False
    for finer, coarser, age in AGES:
        session.execute(COMPACT, {"finer": finer, "coarser": coarser, "age": age})
    session.execute(FORGET, {"age": KEEP_S})
    return True
