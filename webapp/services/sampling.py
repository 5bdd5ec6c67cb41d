"""Whose report is due, and what becomes of one: the host's newest, each database's size, figures and sample."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from webapp.models import Database, DatabaseFigures, DatabaseSample, Host, HostReport
from webapp.services import host_journal, leases
from webapp.services.leases import Lease
from webapp.services.reports import DatabaseReport, Report
from webapp.services.shortages import short_of

LEASE_S = 120.0
# A report may take a tenth of the time at most, however many databases there are to measure.
REST = 9.0

# Rows that somebody holds are left to the next report: measuring waits for nobody and blocks nobody.
SIZES = text("""
    UPDATE databases SET size_bytes = measured.size_bytes
    FROM unnest(CAST(:ids AS uuid[]), CAST(:sizes AS bigint[])) AS measured (id, size_bytes)
    WHERE databases.id = measured.id AND databases.id IN (
        SELECT id FROM databases WHERE id = ANY(CAST(:ids AS uuid[])) FOR NO KEY UPDATE SKIP LOCKED
    ) AND databases.size_bytes <> measured.size_bytes
""")


def take_due(session: Session, every_s: float, limit: int) -> list[Lease]:
    """Lease up to *limit* hosts whose report is due. The caller commits before it looks at them."""
    schedule = leases.Schedule(every_s, LEASE_S)
    return leases.take_due(session, HostReport, HostReport.next_run_at, schedule, limit)


def fail(session: Session, lease: Lease, error: str) -> bool:
    """Note why there is no report; the last one stays, and grows old. False if the lease was lost."""
    return leases.end(session, HostReport, lease, error=error)


def keep(session: Session, lease: Lease, report: Report, took_s: float) -> bool:
    """Keep *report* and what it says of each database. False, with nothing kept, if the lease was lost."""
    last = session.get(HostReport, lease.host_id)
    previous = Report.model_validate(last.report) if last and last.report else None
    since = last.sampled_at if last else None
    rested = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, took_s * REST)
    values = {
        "report": report.model_dump(mode="json", exclude={"journal"}),
        "sampled_at": func.now(),
        "error": None,
        "next_run_at": func.greatest(HostReport.next_run_at, rested),
    }
    if not leases.end(session, HostReport, lease, **values):
        return False
    _note_shortage(session, lease.host_id, short_of(report))
    if report.journal is not None:
        host_journal.keep(session, lease.host_id, report.journal)
    if report.databases:
        _keep_databases(session, lease.host_id, _changes(report, previous), since)
    return True


def _note_shortage(session: Session, host_id: uuid.UUID, shortage: str | None) -> None:
    changed = Host.id == host_id, Host.short_of.is_distinct_from(shortage)
    session.execute(update(Host).where(*changed).values(short_of=shortage))


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
