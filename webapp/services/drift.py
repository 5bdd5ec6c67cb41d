"""Whose host is to be checked against the desired state, and what becomes of the findings."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, case, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, selectinload

from webapp.models import Database, Difference, Host, HostCheck, Operation

# A check that failed is tried again sooner than one that found nothing.
AGAIN_S = 300.0
OPEN = Operation.state.in_(("queued", "running"))

ENROL = text("""
    INSERT INTO host_checks (host_id)
    SELECT id FROM hosts
    WHERE removed_at IS NULL AND NOT EXISTS (SELECT FROM host_checks WHERE host_id = hosts.id)
    ON CONFLICT DO NOTHING
""")
# As with reports, a host that works is looked at later, but not for ever.
DUE = text("""
    UPDATE host_checks
    SET leased_until = now() + make_interval(secs => :lease_s), next_check_at = now() + make_interval(secs => :every_s)
    WHERE host_id IN (
        SELECT due.host_id FROM host_checks AS due JOIN hosts ON hosts.id = due.host_id
        WHERE hosts.state IN ('active', 'draining') AND hosts.key_refused_at IS NULL AND due.next_check_at <= now()
          AND (due.leased_until IS NULL OR due.leased_until <= now())
          AND (due.next_check_at <= now() - make_interval(secs => :every_s) OR NOT EXISTS (
              SELECT FROM operations WHERE operations.host_id = due.host_id AND lane = 'converge'
              AND (state = 'running' OR (state = 'queued' AND next_attempt_at <= now()))
          ))
        ORDER BY due.next_check_at LIMIT :limit FOR UPDATE OF due SKIP LOCKED
    )
    RETURNING host_id, leased_until, now() AS began_at
""")


@dataclass(frozen=True)
class Lease:
    """The right to check one host, until then; what comes under a lease that was lost is not kept."""

    host_id: uuid.UUID
    host_name: str
    until: datetime
    began_at: datetime


@dataclass(frozen=True)
class Finding:
    """One difference, in sentences without secrets."""

    kind: str
    subject: str
    sentences: list[str]
    repairable: bool = True


@dataclass(frozen=True)
class Findings:
    """What a check found. *generations* are those of the databases that were looked at, by name.

    *kinds* are the kinds, beside those, that were looked for: what else was found before stays.
    """

    generations: dict[str, int | None]
    found: list[Finding]
    kinds: frozenset[str] = frozenset({"files", "stranger"})
    error: str | None = None


def take_due(session: Session, every_s: float, lease_s: float, limit: int) -> list[Lease]:
    """Lease up to *limit* hosts whose check is due. The caller commits before it looks at them."""
    session.execute(ENROL)
    taken = session.execute(DUE, {"lease_s": lease_s, "every_s": every_s, "limit": limit}).all()
    names = {row.id: row.name for row in session.execute(select(Host.id, Host.name))}
    return [Lease(row.host_id, names[row.host_id], row.leased_until, row.began_at) for row in taken]


def live(session: Session, host_id: uuid.UUID) -> list[Database]:
    """The host's live databases, by name."""
    query = select(Database).where(Database.host_id == host_id, Database.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Database.name).options(selectinload(Database.allowlist))).unique())


def settled(session: Session, host_id: uuid.UUID) -> list[Database]:
    """Those of the host's live databases that no operation is about to change."""
    busy = set(session.scalars(select(Operation.database_id).where(Operation.host_id == host_id, OPEN)))
    return [database for database in live(session, host_id) if database.id not in busy]


def ask_for_check(session: Session, host_id: uuid.UUID | None = None) -> None:
    """Make the check of one host, or of all, due now."""
    session.execute(ENROL)
    due = update(HostCheck).values(next_check_at=func.now())
    session.execute(due if host_id is None else due.where(HostCheck.host_id == host_id))


def fail(session: Session, lease: Lease, error: str) -> bool:
    """Note why there is nothing new; what was found before stays. False if the lease was lost."""
    soon = func.least(HostCheck.next_check_at, func.now() + func.make_interval(0, 0, 0, 0, 0, 0, AGAIN_S))
    return _end(session, lease, error=error, next_check_at=soon)


def keep(session: Session, lease: Lease, findings: Findings) -> bool:
    """Keep what was found, and forget what is no longer so. False, with nothing kept, if the lease was lost.

    A database that something changed during the check keeps its old finding until the next one; so do PgBouncer's
    files if the host had work meanwhile.
    """
    if not _end(session, lease, error=findings.error, checked_at=func.now()):
        return False
    known = {database.name: database.id for database in live(session, lease.host_id)}
    looked_at = {
        database.name
        for database in settled(session, lease.host_id)
        if findings.generations.get(database.name, -1) == database.generation
    }
    kinds = findings.kinds - ({"files"} if _worked_meanwhile(session, lease) else set())
    kept = [finding for finding in findings.found if _counts(finding, kinds, looked_at, known)]
    _forget(session, lease.host_id, kept, kinds, looked_at, known.values())
    _remember(session, lease.host_id, kept, known)
    return True


def converged(session: Session, database_id: uuid.UUID) -> None:
    """Forget what differed about a database that has just been made what it should be."""
    session.execute(delete(Difference).where(Difference.database_id == database_id))


def _end(session: Session, lease: Lease, **values: Any) -> bool:
    mine = update(HostCheck).where(HostCheck.host_id == lease.host_id, HostCheck.leased_until == lease.until)
    done = cast(CursorResult[Any], session.execute(mine.values(leased_until=None, **values)))
    return done.rowcount == 1


def _worked_meanwhile(session: Session, lease: Lease) -> bool:
    """Whether an operation ran while the host was looked at: its files may have been half written."""
    overlapping = (Operation.state == "running") | (Operation.ended_at >= lease.began_at)
    query = select(Operation.id).where(Operation.host_id == lease.host_id, overlapping)
    return session.scalars(query.limit(1)).first() is not None


def _counts(finding: Finding, kinds: frozenset[str], looked_at: set[str], known: Iterable[str]) -> bool:
    if finding.kind == "database":
        return finding.subject in looked_at
    # What was created during the check is no stranger any more.
    return finding.kind in kinds and finding.subject.partition(": ")[2] not in known


def _forget(
    session: Session,
    host_id: uuid.UUID,
    kept: Sequence[Finding],
    kinds: frozenset[str],
    looked_at: set[str],
    live_ids: Iterable[uuid.UUID],
) -> None:
    """Delete what this check looked for and did not find any more, and what was said of databases that are gone."""
    still, ids = {(finding.kind, finding.subject) for finding in kept}, set(live_ids)
    gone = [
        row.id
        for row in session.scalars(select(Difference).where(Difference.host_id == host_id))
        if (row.kind, row.subject) not in still
        and (row.kind in kinds or (row.kind == "database" and (row.subject in looked_at or row.database_id not in ids)))
    ]
    session.execute(delete(Difference).where(Difference.id.in_(gone)))


def _remember(session: Session, host_id: uuid.UUID, kept: Sequence[Finding], known: dict[str, uuid.UUID]) -> None:
    if not kept:
        return
    rows = [{"id": uuid.uuid4(), "host_id": host_id, "database_id": None, **asdict(one)} for one in kept]
    for row in rows:
        row["database_id"] = known[row["subject"]] if row["kind"] == "database" else None
    statement = upsert(Difference).values(rows)
    new = statement.excluded
    same = Difference.sentences == new.sentences
    ignored = {name: case((same, getattr(Difference, name))) for name in ("ignored_at", "ignored_by")}
    values = {name: new[name] for name in ("sentences", "repairable", "database_id")} | {"seen_at": func.now()}
    session.execute(
        statement.on_conflict_do_update(index_elements=["host_id", "kind", "subject"], set_=values | ignored)
    )
