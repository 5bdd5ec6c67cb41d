#!/usr/bin/python3
"""Have PgBouncer open new server connections for a database whose schema changed.

In transaction pooling PgBouncer shares one prepared statement of a server connection between all clients. After an
ALTER TABLE such a statement fails ("cached plan must not change result type") for as long as that connection lives.

Event triggers in each database (module_utils/dbhost/schema_signal.py) reset the time of its statistics when a statement
changes the schema, and hold an advisory lock of one number until their transaction ends. This looks at the times
several times a second, and sends RECONNECT for that database when one is new, and again when the transactions that
held the lock have ended: only then do others see the change. Idle server connections close at once, busy ones at
the end of their transaction. Other databases are left alone, and one whose schema changes all the time has new
connections once a second at most.

It runs as PgBouncer's OS user, whom alone the console takes, and reads PostgreSQL as a role without any right.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

USER = "dbhost_watcher"
LOCK = (0x6462686F, 1)  # as schema_signal.LOCK
TIMES = """
SELECT d.oid::bigint, d.datname::text, pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), pg_catalog.clock_timestamp()
  FROM pg_catalog.pg_database AS d WHERE d.datallowconn AND NOT d.datistemplate
"""
# A transaction by the names of its process and of itself.
HOLDERS = f"""
SELECT l.database::bigint, l.pid || ' ' || l.virtualtransaction FROM pg_catalog.pg_lock_status() AS l
 WHERE l.locktype = 'advisory' AND l.classid = {LOCK[0]} AND l.objid = {LOCK[1]} AND l.objsubid = 2
"""  # noqa: S608  # nosec B608
PAUSE_S = 1.0
AGAIN_S = 1.0


@dataclass
class Database:
    """What is known of a database's signals."""

    name: str
    signalled_at: datetime | None
    is_due: bool = False
    holders: frozenset[str] = frozenset()
    sent_at: float = float("-inf")


@dataclass
class Signals:
    """Which databases need new server connections. Pure; what is not sent stays due.

    *recent*: what was signalled before this program started counts when it is younger; older connections are gone.
    """

    recent: timedelta
    databases: dict[int, Database] = field(default_factory=dict)

    def read(self, rows: Collection[tuple[int, str, datetime | None, datetime]]) -> set[int]:
        """Take in the times; the databases whose lock is of interest."""
        known, self.databases = self.databases, {}
        for oid, name, signalled_at, now in rows:
            database = self.databases[oid] = known.get(oid) or Database(name, None)
            database.name = name
            is_new = signalled_at is not None and signalled_at != database.signalled_at
            if is_new and (oid in known or now - signalled_at < self.recent):
                database.is_due = True
            database.signalled_at = signalled_at
        return {oid for oid, database in self.databases.items() if database.is_due or database.holders}

    def hold(self, holders: Mapping[int, frozenset[str]]) -> None:
        """Take in who holds the lock, read later than the times: whoever signalled and is not among them has ended."""
        for oid, database in self.databases.items():
            held = holders.get(oid, frozenset())
            if database.holders - held:
                database.is_due = True
            database.holders = held

    def due(self, at: float) -> list[Database]:
        """Those to send now; a database waits until its last turn is a second ago."""
        return [one for one in self.databases.values() if one.is_due and at - one.sent_at >= PAUSE_S]


def look(connection: psycopg.Connection, signals: Signals) -> None:
    """One look at the cluster; raises psycopg.OperationalError when the connection is lost."""
    if not signals.read(connection.execute(TIMES, prepare=True).fetchall()):
        return
    holders: dict[int, frozenset[str]] = {}
    for oid, holder in connection.execute(HOLDERS, prepare=True).fetchall():
        holders[oid] = holders.get(oid, frozenset()) | {holder}
    signals.hold(holders)


def send(given: argparse.Namespace, due: list[Database]) -> None:
    """Have PgBouncer reconnect; raises psycopg.OperationalError when it does not answer."""
    with psycopg.connect(
        host=given.console_dir,
        port=given.console_port,
        user="pgbouncer",
        dbname="pgbouncer",
        application_name="dbhost",
        connect_timeout=5,
        autocommit=True,
    ) as console:
        for database in due:
            try:
                console.execute(sql.SQL("RECONNECT {}").format(sql.Identifier(database.name)))
            except psycopg.Error:  # PgBouncer has no database of that name: it is closed, or being restored
                if console.closed:
                    raise
            database.is_due, database.sent_at = False, time.monotonic()


def watch(given: argparse.Namespace, signals: Signals) -> None:
    """Look for ever; raises psycopg.OperationalError when PostgreSQL is gone."""
    with connect(given) as connection:
        say("Watching for changed schemas.")
        is_answering = True
        while True:
            look(connection, signals)
            due = signals.due(time.monotonic())
            try:
                if due:
                    send(given, due)
                    is_answering = True
            except psycopg.OperationalError:
                if is_answering:
                    say("<4>PgBouncer does not answer; trying again.")
                is_answering = False
            time.sleep(given.interval_s)


def connect(given: argparse.Namespace) -> psycopg.Connection:
    return psycopg.connect(
        host=given.socket_dir,
        port=given.port,
        user=USER,
        dbname="postgres",
        options="-c search_path= -c statement_timeout=10s",
        application_name="dbhost reconnect",
        connect_timeout=5,
        autocommit=True,
    )


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--socket-dir", "--console-dir"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--console-port"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--interval-s", type=float, default=0.25)
    parser.add_argument("--server-lifetime-s", type=int, default=300)
    given = parser.parse_args()
    signals = Signals(timedelta(seconds=given.server_lifetime_s))
    while True:
        with contextlib.suppress(psycopg.OperationalError, psycopg.ProgrammingError):
            watch(given, signals)
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
