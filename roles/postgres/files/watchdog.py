#!/usr/bin/python3
"""End the sessions that take what all tenants of a PostgreSQL cluster share, before the others have none of it.

No limit of PostgreSQL keeps one tenant from the whole lock table, the whole queue of notifications or the disk of
temporary files, nor from a transaction that never ends. Each duty below looks at one of these, every half second, and
says whose session to end. They rank by tenant, all sessions of its roles taken together, and end nothing of a tenant
while another takes more.

The lock table can be full within milliseconds, and then a new connection fails, and so does whatever needs one more
lock. So this works as the provisioner over a connection that is opened beforehand, and in one transaction that already
holds every lock it will need: those on the shared catalogs, which are never taken by the fast path. The transaction
reads with a snapshot a statement (READ COMMITTED) and writes nothing, so it keeps no row from VACUUM.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg

# Locks that a session keeps to itself (fast path) take no room in the table. Functions, for a view needs locks itself.
# The last: the lock that a commit with a NOTIFY takes, or waits for.
HOLDERS = """
SELECT l.pid, coalesce(pg_catalog.pg_get_userbyid(a.usesysid), '')::text, pg_catalog.count(*),
       pg_catalog.bool_or(l.locktype = 'object' AND l.classid = 1262 AND l.objid = 0)
  FROM pg_catalog.pg_lock_status() AS l
  LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) AS a ON a.pid = l.pid
 WHERE NOT l.fastpath AND l.pid <> pg_catalog.pg_backend_pid()
 GROUP BY 1, 2
"""
# The installer's function, without a word of what sessions do: their times and the size of their temporary files.
SESSIONS = "SELECT pid, role, by_socket, transaction_s, idle_s, temporary_bytes FROM dbhost.sessions()"
# Being asked also frees what every listener has read, without which a full queue stays full.
QUEUE = "SELECT pg_catalog.pg_notification_queue_usage()"
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
# Those that neither the superuser nor the provisioner and dumps have for themselves.
CONNECTIONS = """
SELECT pg_catalog.current_setting('max_connections')::int
       - pg_catalog.sum(pg_catalog.current_setting(name)::int)::int
  FROM pg_catalog.unnest(ARRAY['superuser_reserved_connections', 'reserved_connections']) AS name
"""
FULL_AT = 0.5
CROWDED_AT = 0.9
QUEUE_FULL_AT = 0.25
QUEUE_EMPTY_AT = 0.05
OTHERS_AFTER_S = 3.0
REMEMBERED_S = 10.0
AGAIN_S = 1.0


@dataclass(frozen=True)
class Holder:
    """A session, and how many entries of the lock table it takes."""

    pid: int
    role: str
    locks: int
    notifies: bool = False


@dataclass(frozen=True)
class Session:
    """A session's transaction and temporary files. *by_socket*: a dump or restore, since clients come by PgBouncer."""

    pid: int
    role: str
    by_socket: bool
    transaction_s: float | None
    idle_s: float | None
    temporary_bytes: int


@dataclass(frozen=True)
class End:
    """A session to end, and why."""

    pid: int
    role: str
    reason: str


@dataclass(frozen=True)
class Seen:
    """What one look finds."""

    holders: Sequence[Holder]
    sessions: Sequence[Session] = ()
    queue_usage: float = 0.0
    at: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What a tenant may take."""

    locks: int
    idle_transaction_s: float
    transaction_s: float
    temporary_bytes: int
    connections: int = 1000


def tenant(role: str) -> str:
    """Whose a role is: a member's is named after the database, with a dot between."""
    return role.partition(".")[0]


def greediest(taken: dict[int, tuple[str, int]], most_in_all: int, spared: frozenset[str]) -> list[int]:
    """Which sessions to end so that no more than *most_in_all* is taken. Pure.

    All of the tenant that takes most come before any of the next, whose dump may be the largest of all sessions.
    """
    totals: dict[str, int] = {}
    for role, number in taken.values():
        totals[tenant(role)] = totals.get(tenant(role), 0) + number
    left, chosen = sum(totals.values()), []
    ranked = sorted(taken.items(), key=lambda item: (totals[tenant(item[1][0])], item[1][1]), reverse=True)
    for pid, (role, number) in ranked:
        if left <= most_in_all:
            break
        if role not in spared:
            chosen.append(pid)
            left -= number
    return chosen


def hoarders(seen: Seen, limits: Limits, spared: frozenset[str]) -> list[End]:
    """Duty: half of the lock table stays free."""
    by_pid = {holder.pid: holder for holder in seen.holders}
    taken = {holder.pid: (holder.role, holder.locks) for holder in seen.holders}
    return [
        End(pid, by_pid[pid].role, f"it held {by_pid[pid].locks} of {limits.locks} locks")
        for pid in greediest(taken, int(limits.locks * FULL_AT), spared)
    ]


def spillers(seen: Seen, limits: Limits, spared: frozenset[str]) -> list[End]:
    """Duty: the temporary files of all sessions of a tenant stay below a limit."""
    ended = []
    for name in sorted({tenant(session.role) for session in seen.sessions if session.temporary_bytes}):
        own = [session for session in seen.sessions if tenant(session.role) == name]
        taken = {session.pid: (session.role, session.temporary_bytes) for session in own}
        total = sum(number for _, number in taken.values()) // 2**20
        chosen = greediest(taken, limits.temporary_bytes, spared)
        ended += [End(pid, taken[pid][0], f"temporary files of {name} took {total} MB") for pid in chosen]
    return ended


def crowders(seen: Seen, limits: Limits, spared: frozenset[str]) -> list[End]:
    """Duty: a tenth of the connections stays free, by evening out the tenants that have most.

    One account may have many databases, each within its own limit. Of a tenant, idle transactions go first, the longest
    of them, then the longest others; dumps stay, and count.
    """
    counted = [session for session in seen.sessions if session.role not in spared]
    excess = len(counted) - int(limits.connections * CROWDED_AT)
    by_tenant: dict[str, list[Session]] = {}
    for session in sorted(counted, key=lambda session: (session.idle_s or -1.0, session.transaction_s or 0.0)):
        if not session.by_socket:
            by_tenant.setdefault(tenant(session.role), []).append(session)
    ended = []
    for _ in range(max(0, excess)):
        largest = max(by_tenant.values(), key=len, default=[])
        if not largest:
            break
        session = largest.pop()
        reason = f"{len(counted)} of {limits.connections} connections were taken"
        ended.append(End(session.pid, session.role, reason))
    return ended


def endless(seen: Seen, limits: Limits, spared: frozenset[str]) -> list[End]:
    """Duty: a transaction ends, or VACUUM could remove nothing that is newer, in no database's shared catalogs."""
    ended = []
    for session in seen.sessions:
        if session.role in spared:
            continue
        if (session.idle_s or 0) > limits.idle_transaction_s and not session.by_socket:
            ended.append(End(session.pid, session.role, f"its transaction was idle for {session.idle_s:.0f} s"))
        elif (session.transaction_s or 0) > limits.transaction_s:
            ended.append(End(session.pid, session.role, f"its transaction took {session.transaction_s:.0f} s"))
    return ended


@dataclass
class Queue:
    """Duty: the queue of notifications, one for all databases, has room.

    It fills when somebody listens and stays in a transaction. PostgreSQL does not tell who listens. So what began
    before the queue filled is ended one by one until it empties, idle transactions first, then the oldest: those of
    tenants that are seen to send, and of others only when that has not helped within seconds. Dumps do not listen.
    """

    filling_since: float | None = None
    full_since: float | None = None
    sent_at: dict[str, float] = field(default_factory=dict)

    def __call__(self, seen: Seen, _limits: Limits, spared: frozenset[str]) -> list[End]:
        self._remember(seen)
        if self.full_since is None or self.filling_since is None:
            return []
        patient = seen.at - self.full_since < OTHERS_AFTER_S
        begun = [
            session
            for session in seen.sessions
            if session.role not in spared and not session.by_socket
            if (session.transaction_s or 0) >= seen.at - self.filling_since
            if tenant(session.role) in self.sent_at or not patient
        ]
        reason = f"{seen.queue_usage:.0%} of the queue of notifications was taken, and its transaction is old"
        return [End(session.pid, session.role, reason) for session in sorted(begun, key=self._rank)[:1]]

    def _remember(self, seen: Seen) -> None:
        self.sent_at |= {tenant(holder.role): seen.at for holder in seen.holders if holder.notifies}
        self.sent_at = {name: at for name, at in self.sent_at.items() if seen.at - at < REMEMBERED_S}
        if seen.queue_usage < QUEUE_EMPTY_AT:
            self.filling_since = None
        elif self.filling_since is None:  # whoever keeps it began before this look
            self.filling_since = seen.at
        if seen.queue_usage < QUEUE_FULL_AT:
            self.full_since = None
        elif self.full_since is None:
            self.full_since = seen.at

    def _rank(self, session: Session) -> tuple[bool, bool, float]:
        return (tenant(session.role) not in self.sent_at, session.idle_s is None, -(session.transaction_s or 0))


Duty = Callable[[Seen, Limits, frozenset[str]], list[End]]


def watch(
    connection: psycopg.Connection, interval_s: float, limits: Limits, spared: frozenset[str], duties: Sequence[Duty]
) -> None:
    """Look for ever; raises psycopg.OperationalError when the connection is lost."""
    with connection.transaction():
        connection.execute(HOLD)
        for rehearsed in (FORGET, HOLDERS, SESSIONS, QUEUE):  # planned now, while there are locks to plan with
            connection.execute(rehearsed, prepare=True)
        connection.execute(END, (0,), prepare=True)
        say(f"Watching {limits.locks} locks.")
        while True:
            with contextlib.suppress(psycopg.errors.OutOfMemory), connection.transaction(force_rollback=True):
                holders = locks(connection)
                end(connection, hoarders(Seen(holders), limits, spared))
                seen = look(connection, holders)
                for duty in duties:
                    end(connection, duty(seen, limits, spared))
            time.sleep(interval_s)


def locks(connection: psycopg.Connection) -> list[Holder]:
    """Before all else: while there are no locks left, the rest cannot be asked for."""
    connection.execute(FORGET, prepare=True)
    return [Holder(*row) for row in connection.execute(HOLDERS, prepare=True).fetchall()]


def look(connection: psycopg.Connection, holders: list[Holder]) -> Seen:
    """What the other duties need."""
    sessions = [Session(*row) for row in connection.execute(SESSIONS, prepare=True).fetchall()]
    [(usage,)] = connection.execute(QUEUE, prepare=True).fetchall()
    return Seen(holders, sessions, usage, time.monotonic())


def end(connection: psycopg.Connection, chosen: Sequence[End]) -> None:
    """End sessions, and say whose and why."""
    for session in chosen:
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(END, (session.pid,), prepare=True)
            say(f"<4>Ended session {session.pid} of {session.role}: {session.reason}.")


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--socket-dir", "--user"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interval-s", type=float, default=0.5)
    parser.add_argument("--idle-transaction-s", type=float, default=3600)
    parser.add_argument("--transaction-s", type=float, default=86400)
    parser.add_argument("--temporary-mb", type=int, default=8192)
    given = parser.parse_args()
    while True:
        with contextlib.suppress(psycopg.OperationalError, psycopg.ProgrammingError), connect(given) as connection:
            [(capacity,)] = connection.execute(CAPACITY).fetchall()
            [(connections,)] = connection.execute(CONNECTIONS).fetchall()
            temporary_bytes = given.temporary_mb * 2**20
            limits = Limits(capacity, given.idle_transaction_s, given.transaction_s, temporary_bytes, connections)
            spared = frozenset({given.user, "postgres", ""})
            watch(connection, given.interval_s, limits, spared, (Queue(), crowders, spillers, endless))
        time.sleep(AGAIN_S)


def connect(given: argparse.Namespace) -> psycopg.Connection:
    return psycopg.connect(
        host=given.socket_dir,
        port=given.port,
        user=given.user,
        dbname="postgres",
        options="-c search_path= -c statement_timeout=10s -c idle_in_transaction_session_timeout=0",
        application_name="dbhost watchdog",
        connect_timeout=5,
        autocommit=True,
    )


if __name__ == "__main__":
    main()
