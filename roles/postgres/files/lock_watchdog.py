#!/usr/bin/python3
"""End the sessions that hoard locks, before the cluster's lock table is full and nobody gets one.

All tenants share one lock table, and no limit of PostgreSQL keeps one of them from filling it, with advisory locks say.
When more than half of it is taken, sessions are ended, beginning with the one that holds most, until it is not.

A table can be full within milliseconds, and then a new connection fails, and so does whatever needs one more lock. So
this works as the provisioner over a connection that is opened beforehand, and in one transaction that already holds
every lock it will need: those on the shared catalogs, which are never taken by the fast path. The transaction reads
with a snapshot a statement (READ COMMITTED) and writes nothing, so it keeps no row from VACUUM.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

# Locks that a session keeps to itself (fast path) take no room in the table. Functions, for a view needs locks itself.
HOLDERS = """
SELECT l.pid, coalesce(pg_catalog.pg_get_userbyid(a.usesysid), '')::text, pg_catalog.count(*)
  FROM pg_catalog.pg_lock_status() AS l
  LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) AS a ON a.pid = l.pid
 WHERE NOT l.fastpath AND l.pid <> pg_catalog.pg_backend_pid()
 GROUP BY 1, 2
"""
# What it takes to learn a role's name and to be allowed to end its session.
HOLD = "SELECT 1 FROM pg_catalog.pg_roles, pg_catalog.pg_auth_members, pg_catalog.pg_database LIMIT 1"
END = "SELECT pg_catalog.pg_terminate_backend(%s)"
# Within a transaction, what sessions there are is else read once.
FORGET = "SELECT pg_catalog.pg_stat_clear_snapshot()"
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
    """Look for ever; raises psycopg.OperationalError when the connection is lost."""
    [(capacity,)] = connection.execute(CAPACITY).fetchall()
    with connection.transaction():
        connection.execute(HOLD)
        for rehearsed in (FORGET, HOLDERS):  # planned now, while there are locks to plan with
            connection.execute(rehearsed, prepare=True)
        connection.execute(END, (0,), prepare=True)
        say(f"Watching {capacity} locks.")
        while True:
            with contextlib.suppress(psycopg.errors.OutOfMemory), connection.transaction(force_rollback=True):
                look(connection, capacity, spared)
            time.sleep(interval_s)


def look(connection: psycopg.Connection, capacity: int, spared: frozenset[str]) -> None:
    """Look once, and end whom that takes."""
    connection.execute(FORGET, prepare=True)
    holders = [Holder(*row) for row in connection.execute(HOLDERS, prepare=True).fetchall()]
    for holder in to_end(holders, capacity, spared):
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(END, (holder.pid,), prepare=True)
            say(f"<4>Ended session {holder.pid} of {holder.role}, which held {holder.locks} of {capacity} locks.")


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
        options="-c search_path= -c statement_timeout=10s -c idle_in_transaction_session_timeout=0",
        application_name="dbhost lock watchdog",
        connect_timeout=5,
        autocommit=True,
    )


if __name__ == "__main__":
    main()
