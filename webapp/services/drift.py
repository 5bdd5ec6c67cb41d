"""Whose host is to be checked against the desired state, and what becomes of the findings."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, selectinload

from webapp.models import Database, Difference, HostCheck, Operation
from webapp.models.operations import is_due
from webapp.services import leases
from webapp.services.leases import Lease

# A check that failed is tried again sooner than one that found nothing.
AGAIN_S = 300.0
# What is sent of a database besides its row.
WANTED = selectinload(Database.allowlist), selectinload(Database.members)
OPEN = Operation.state.in_(("queued", "running"))


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
    schedule = leases.Schedule(every_s, lease_s, is_due() & (Operation.lane == "converge"))
    return leases.take_due(session, HostCheck, HostCheck.next_check_at, schedule, limit)


def live(session: Session, host_id: uuid.UUID) -> list[Database]:
    """The host's live databases, by name."""
    query = select(Database).where(Database.host_id == host_id, Database.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Database.name).options(*WANTED)).unique())


def settled(session: Session, host_id: uuid.UUID, databases: Iterable[Database]) -> list[Database]:
    """Those of the host's *databases* that no operation is about to change."""
    busy = set(session.scalars(select(Operation.database_id).where(Operation.host_id == host_id, OPEN)))
    return [database for database in databases if database.id not in busy]


def ask_for_check(session: Session, host_id: uuid.UUID | None = None) -> None:
    """Make the check of one host, or of all, due now."""
    leases.enrol(session, HostCheck)
    due = update(HostCheck).values(next_check_at=func.now())
    session.execute(due if host_id is None else due.where(HostCheck.host_id == host_id))


def fail(session: Session, lease: Lease, error: str) -> bool:
    """Note why there is nothing new; what was found before stays. False if the lease was lost."""
    soon = func.least(HostCheck.next_check_at, func.now() + func.make_interval(0, 0, 0, 0, 0, 0, AGAIN_S))
    return leases.end(session, HostCheck, lease, error=error, next_check_at=soon)


def keep(session: Session, lease: Lease, findings: Findings) -> bool:
    """Keep what was found, and forget what is no longer so. False, with nothing kept, if the lease was lost.

    A database that something changed during the check keeps its old finding until the next one; so do PgBouncer's
    files if the host had work meanwhile.
    """
    if not leases.end(session, HostCheck, lease, error=findings.error, checked_at=func.now()):
        return False
    here = live(session, lease.host_id)
    known = {database.name: database.id for database in here}
    looked_at = {
        database.name
        for database in settled(session, lease.host_id, here)
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
