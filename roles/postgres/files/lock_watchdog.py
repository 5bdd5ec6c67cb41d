#!/usr/bin/python3
"""End the sessions that hoard locks, before the cluster's lock table is full and nobody gets one.

All tenants share one lock table, and no limit of PostgreSQL keeps one of them from filling it, with advisory locks say.
When more than half of it is taken, sessions are ended, beginning with the one that holds most, until it is not. Runs as
the provisioner over a connection that is opened beforehand: when the table is full, a new one might not come about.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

# Locks that a session keeps to itself (fast path) take no room in the table.
HOLDERS = """
SELECT l.pid, coalesce(a.usename, '')::text, pg_catalog.count(*)
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE NOT l.fastpath AND l.pid <> pg_catalog.pg_backend_pid()
 GROUP BY 1, 2
"""
# As PostgreSQL reckons it: max_locks_per_transaction for every process that there can be.
CAPACITY = """
SELECT pg_catalog.current_setting('max_locks_per_transaction')::int
       * pg_catalog.sum(pg_catalog.current_setting(name)::int)::int
  FROM pg_catalog.unnest(ARRAY['max_connections', 'max_worker_processes', 'autovacuum_max_workers', 'max_wal_senders',
                               'max_prepared_transactions']) AS name
"""
FULL_AT = 0.5
AGAIN_S = 1.0


@dataclass(frozen=True)
class Holder:
    """A session, and how many entries of the lock table it takes."""

    pid: int
    role: str
    locks: int


def to_end(holders: Sequence[Holder], capacity: int, spared: frozenset[str]) -> list[Holder]:
    """Whom to end so that no more than half of the table is taken, the greediest first. Pure."""
    taken, chosen = sum(holder.locks for holder in holders), []
    for holder in sorted(holders, key=lambda holder: holder.locks, reverse=True):
        if taken <= capacity * FULL_AT:
            break
        if holder.role not in spared:
            chosen.append(holder)
            taken -= holder.locks
    return chosen


def watch(connection: psycopg.Connection, interval_s: float, spared: frozenset[str]) -> None:
    """Look for ever; raises psycopg.Error when the connection is lost."""
    [(capacity,)] = connection.execute(CAPACITY).fetchall()
    say(f"Watching {capacity} locks.")
    while True:
        holders = [Holder(*row) for row in connection.execute(HOLDERS, prepare=True).fetchall()]
        for holder in to_end(holders, capacity, spared):
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT pg_catalog.pg_terminate_backend(%s)", (holder.pid,), prepare=True)
                say(f"<4>Ended session {holder.pid} of {holder.role}, which held {holder.locks} of {capacity} locks.")
        time.sleep(interval_s)


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--socket-dir", "--user"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interval-s", type=float, default=0.5)
    given = parser.parse_args()
    while True:
        with contextlib.suppress(psycopg.OperationalError), connect(given) as connection:
            watch(connection, given.interval_s, frozenset({given.user, "postgres", ""}))
        time.sleep(AGAIN_S)


def connect(given: argparse.Namespace) -> psycopg.Connection:
    return psycopg.connect(
        host=given.socket_dir,
        port=given.port,
        user=given.user,
        dbname="postgres",
        options="-c search_path= -c statement_timeout=10s",
        application_name="dbhost lock watchdog",
        connect_timeout=5,
        autocommit=True,
    )


if __name__ == "__main__":
    main()
