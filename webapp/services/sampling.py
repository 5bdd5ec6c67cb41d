"""Whose report is due, and what becomes of one: the host's newest, each database's size, figures and sample."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from webapp.models import Database, DatabaseFigures, DatabaseSample, Host, HostReport
from webapp.services.reports import DatabaseReport, Report

LEASE_S = 120.0
# A report may take a tenth of the time at most, however many databases there are to measure.
REST = 9.0

ENROL = text("""
    INSERT INTO host_reports (host_id)
    SELECT id FROM hosts
    WHERE removed_at IS NULL AND NOT EXISTS (SELECT FROM host_reports WHERE host_id = hosts.id)
    ON CONFLICT DO NOTHING
""")
# A host with work under way or waiting is looked at later, but not for ever: its clients may be in trouble.
DUE = text("""
    UPDATE host_reports
    SET leased_until = now() + make_interval(secs => :lease_s), next_run_at = now() + make_interval(secs => :every_s)
    WHERE host_id IN (
        SELECT report.host_id FROM host_reports AS report JOIN hosts ON hosts.id = report.host_id
        WHERE hosts.state IN ('active', 'draining') AND hosts.key_refused_at IS NULL AND report.next_run_at <= now()
          AND (report.leased_until IS NULL OR report.leased_until <= now())
          AND (report.next_run_at <= now() - make_interval(secs => :every_s) OR NOT EXISTS (
              SELECT FROM operations WHERE operations.host_id = report.host_id
              AND (state = 'running' OR (state = 'queued' AND next_attempt_at <= now()))
          ))
        ORDER BY report.next_run_at LIMIT :limit FOR UPDATE OF report SKIP LOCKED
    )
    RETURNING host_id, leased_until
""")
# Rows that somebody holds are left to the next report: measuring waits for nobody and blocks nobody.
SIZES = text("""
    UPDATE databases SET size_bytes = measured.size_bytes
    FROM unnest(CAST(:ids AS uuid[]), CAST(:sizes AS bigint[])) AS measured (id, size_bytes)
    WHERE databases.id = measured.id AND databases.id IN (
        SELECT id FROM databases WHERE id = ANY(CAST(:ids AS uuid[])) FOR NO KEY UPDATE SKIP LOCKED
    ) AND databases.size_bytes <> measured.size_bytes
""")


@dataclass(frozen=True)
class Lease:
    """The right to report on one host, until then; a report under a lease that was lost is not kept."""

    host_id: uuid.UUID
    host_name: str
    until: datetime


def take_due(session: Session, every_s: float, limit: int) -> list[Lease]:
    """Lease up to *limit* hosts whose report is due. The caller commits before it looks at them."""
    session.execute(ENROL)
    values = {"lease_s": LEASE_S, "every_s": every_s, "limit": limit}
    taken = {row.host_id: row.leased_until for row in session.execute(DUE, values)}
    names = session.execute(select(Host.id, Host.name).where(Host.id.in_(taken)))
    return [Lease(row.id, row.name, taken[row.id]) for row in names]


def fail(session: Session, lease: Lease, error: str) -> bool:
    """Note why there is no report; the last one stays, and grows old. False if the lease was lost."""
    return _end(session, lease, error=error)


def keep(session: Session, lease: Lease, report: Report, took_s: float) -> bool:
    """Keep *report* and what it says of each database. False, with nothing kept, if the lease was lost."""
    last = session.get(HostReport, lease.host_id)
    previous = Report.model_validate(last.report) if last and last.report else None
    since = last.sampled_at if last else None
    rested = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, took_s * REST)
    values = {
        "report": report.model_dump(mode="json"),
        "sampled_at": func.now(),
        "error": None,
        "next_run_at": func.greatest(HostReport.next_run_at, rested),
    }
    if not _end(session, lease, **values):
        return False
    if report.databases:
        _keep_databases(session, lease.host_id, _changes(report, previous), since)
    return True


def _end(session: Session, lease: Lease, **values: Any) -> bool:
    mine = update(HostReport).where(HostReport.host_id == lease.host_id, HostReport.leased_until == lease.until)
    done = cast(CursorResult[Any], session.execute(mine.values(leased_until=None, **values)))
    return done.rowcount == 1


@dataclass(frozen=True)
class Change:
    """One database now, and what it did since the report before; None when that is not known."""

    now: DatabaseReport
    transactions: int | None
    blocks_hit: int
    blocks_read: int


def _changes(report: Report, previous: Report | None) -> list[Change]:
    before = {item.name: item for item in (previous.databases if previous else None) or ()}
    return [change(item, before.get(item.name)) for item in report.databases or ()]


def change(now: DatabaseReport, before: DatabaseReport | None) -> Change:
    """What *now* has more than *before*. A counter that went back began anew in between: all of it is new."""

    def more(name: str) -> int:
        new, old = getattr(now, name), getattr(before, name)
        return int(new - old if new >= old else new)

    if before is None:
        return Change(now, None, 0, 0)
    return Change(now, more("transactions"), more("blocks_hit"), more("blocks_read"))


def _keep_databases(session: Session, host_id: uuid.UUID, changes: list[Change], since: datetime | None) -> None:
    live = select(Database.name, Database.id).where(Database.host_id == host_id, Database.deleted_at.is_(None))
    ids = {row.name: row.id for row in session.execute(live)}
    known = [(ids[item.now.name], item) for item in changes if item.now.name in ids]
    if not known:
        return
    [now] = session.execute(select(func.now())).one()
    samples = [_sample(database_id, item, now, since) for database_id, item in known]
    session.execute(insert(DatabaseSample), samples)
    _keep_figures(session, [_figures(database_id, item, now) for database_id, item in known])
    sizes = {"ids": [str(database_id) for database_id, _ in known], "sizes": [item.now.size_bytes for _, item in known]}
    session.execute(SIZES, sizes)


def _sample(database_id: uuid.UUID, item: Change, now: datetime, since: datetime | None) -> dict[str, Any]:
    known = since is not None and item.transactions is not None
    return {
        "database_id": database_id,
        "resolution_s": 0,
        "at": now,
        "duration_s": (now - since).total_seconds() if known and since else 0.0,
        "size_bytes": item.now.size_bytes,
        "clients_active": item.now.clients_active,
        "clients_waiting": item.now.clients_waiting,
        "transactions": item.transactions or 0,
        "blocks_hit": item.blocks_hit,
        "blocks_read": item.blocks_read,
    }


def _figures(database_id: uuid.UUID, item: Change, now: datetime) -> dict[str, Any]:
    """A client that came and went between two reports shows in its transactions alone."""
    return {
        "database_id": database_id,
        "sampled_at": now,
        "clients_active": item.now.clients_active,
        "clients_waiting": item.now.clients_waiting,
        "last_connection_at": now if item.transactions else item.now.last_connection_at,
    }


def _keep_figures(session: Session, rows: list[dict[str, Any]]) -> None:
    statement = upsert(DatabaseFigures).values(rows)
    new = statement.excluded
    latest = func.greatest(DatabaseFigures.last_connection_at, new.last_connection_at)
    values = {name: new[name] for name in ("sampled_at", "clients_active", "clients_waiting")}
    session.execute(
        statement.on_conflict_do_update(index_elements=["database_id"], set_=values | {"last_connection_at": latest})
    )
