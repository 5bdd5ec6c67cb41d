"""Final backups: a deleted database is kept aside on its host until it is dumped, and only then dropped.

The name is free as soon as the database has been put aside. Whoever works at a host's final backups holds a lease on
each, renews it, and writes nothing once it is lost.
"""

import secrets
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Update, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from webapp.models import Backup, Database, FinalBackup, Host, Operation
from webapp.services import backup_notices
from webapp.services.errors import OperationInProgress

LEASE = timedelta(minutes=2)
QUIET, PATIENCE = timedelta(seconds=2), timedelta(minutes=1)
TOLD_AFTER = 3
HANDED_BACK = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=30)
# Until then a final backup that fails is tried again, and the data can be had back as it is.
TRIED_FOR = timedelta(days=7)
FREE = or_(FinalBackup.leased_until.is_(None), FinalBackup.leased_until <= func.now())


def plan(session: Session, database: Database, backup: Backup | None) -> None:
    """Have the database put aside when it goes, for *backup*, or (None) only to be dropped then."""
    row = session.get(FinalBackup, database.id)
    if row is None:
        name = f"dbhost-held-{secrets.token_hex(8)}"
        row = FinalBackup(database_id=database.id, database=database, name=name, host_id=database.host_id)
        session.add(row)
    elif row.backup is not None and row.backup is not backup:
        _give_up(row.backup, "Another backup was planned instead.")
    database.held_as = row.name
    row.backup, row.backup_id, row.held_at = backup, backup.id if backup else None, None
    row.attempts, row.error, row.told_at, row.next_attempt_at = 0, None, None, func.now()
    session.flush()


def of_database(session: Session, database: Database) -> FinalBackup | None:
    """What is still to be done for a deleted database."""
    return session.get(FinalBackup, database.id)


def put_aside(session: Session, database: Database) -> bool:
    """The host has put it aside: from now on its final backup is due. False where nothing was to be kept."""
    if database.held_as is None:
        return False
    done = update(FinalBackup).where(FinalBackup.database_id == database.id)
    session.execute(done.values(held_at=func.now(), next_attempt_at=func.now()))
    return True


def forget(session: Session, database: Database, why: str) -> None:
    """The database is there after all: nothing is kept aside, and a final backup that is not whole is none."""
    if database.held_as is None:
        return
    row = session.get(FinalBackup, database.id)
    if row is not None:
        if row.backup is not None:
            _give_up(row.backup, why)
        session.delete(row)
    session.execute(update(Database).where(Database.id == database.id).values(held_as=None))


def planned(session: Session, database: Database) -> Backup | None:
    """The final backup that an earlier deletion planned and did not come to."""
    row = session.get(FinalBackup, database.id)
    return row.backup if row is not None and row.backup is not None and row.backup.state == "creating" else None


def require_unattended(session: Session, database: Database) -> FinalBackup | None:
    """The row of a database whose final backup is not whole, locked. Raises OperationInProgress while it is made."""
    query = select(FinalBackup).where(FinalBackup.database_id == database.id)
    row = session.scalar(query.with_for_update(of=FinalBackup).execution_options(populate_existing=True))
    if row is None or row.backup is None or row.backup.state == "available":
        return None
    if not session.scalar(select(FREE).where(FinalBackup.database_id == database.id)):
        raise OperationInProgress("The final backup of this database is being made. Try again in a moment.")
    return row


def due_hosts(session: Session, limit: int) -> list[Host]:
    """Hosts in service with final backups to make, of which nobody is at one already.

    What people wait for comes first: a host with other work waits until that is done, for PATIENCE at most.
    """
    worked = or_(Operation.state.in_(("queued", "running")), Operation.ended_at > func.now() - QUIET)
    working = exists().where(Operation.host_id == Host.id, Operation.lane == "converge", worked)
    waited = exists().where(FinalBackup.host_id == Host.id, FinalBackup.held_at <= func.now() - PATIENCE, *_due())
    busy = exists().where(FinalBackup.host_id == Host.id, FinalBackup.leased_until > func.now())
    due = exists().where(FinalBackup.host_id == Host.id, *_due())
    in_service = (Host.state.in_(("active", "draining"))) & Host.key_refused_at.is_(None)
    query = select(Host).where(in_service, due, ~busy, or_(~working, waited))
    return list(session.scalars(query.order_by(Host.name).limit(limit)))


def take(session: Session, host: Host, limit: int) -> tuple[uuid.UUID, list[FinalBackup]]:
    """Lease the host's oldest, up to *limit*. The caller commits before it does anything."""
    session.refresh(host, with_for_update={"of": Host, "key_share": True})
    lease = uuid.uuid4()
    if session.scalar(select(exists().where(FinalBackup.host_id == host.id, FinalBackup.leased_until > func.now()))):
        return lease, []
    chosen = select(FinalBackup.database_id).where(FinalBackup.host_id == host.id, *_due())
    oldest = chosen.order_by(FinalBackup.next_attempt_at).limit(limit).with_for_update(skip_locked=True)
    taken = update(FinalBackup).where(FinalBackup.database_id.in_(oldest))
    session.execute(taken.values(lease=lease, leased_until=func.now() + LEASE, attempts=FinalBackup.attempts + 1))
    query = select(FinalBackup).where(FinalBackup.lease == lease).order_by(FinalBackup.created_at)
    return lease, list(session.scalars(query.execution_options(populate_existing=True)))


def renew(session: Session, lease: uuid.UUID) -> bool:
    """Whether the lease still holds; it does for some time more then."""
    held = update(FinalBackup).where(*_held(lease)).values(leased_until=func.now() + LEASE)
    return _changed(session, held)


def holds(session: Session, lease: uuid.UUID, database_id: uuid.UUID) -> bool:
    """Whether one database's result may be written; it stays so until the transaction ends."""
    mine = select(FinalBackup.database_id).where(*_held(lease), FinalBackup.database_id == database_id)
    return session.scalar(mine.with_for_update()) is not None


def put_off(session: Session, lease: uuid.UUID, row: FinalBackup, why: str, *, retryable: bool = True) -> None:
    """Try again later. Its people are told once: of what no retry mends at once, of anything else if it stays so.

    After TRIED_FOR it ends: what is kept aside is dropped without a backup, as was said when it began to fail.
    """
    if _is_over(session, row):
        end(session, lease, row, why)
        return
    tell = row.told_at is None and (not retryable or row.attempts >= TOLD_AFTER)
    delay = min(LONGEST_DELAY, timedelta(seconds=5 * 2 ** min(row.attempts, 12)))
    told = {"told_at": func.now()} if tell else {}
    values = told | {"error": why, "lease": None, "leased_until": None, "next_attempt_at": func.now() + delay}
    mine = update(FinalBackup).where(*_held(lease), FinalBackup.database_id == row.database_id)
    if _changed(session, mine.values(values)) and tell:
        backup_notices.final_failed(session, row.database, f"{why} {remedy(row)}")


def ends_at(row: FinalBackup) -> datetime | None:
    """When a final backup that goes on failing is given up."""
    return row.held_at + TRIED_FOR if row.held_at else None


def remedy(row: FinalBackup) -> str:
    """What its people can do."""
    until = ends_at(row)
    when = (
        f" until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC; after that the data is dropped without it" if until else ""
    )
    return f"It is tried again{when}. Bring the database back before then to mend it, or to delete it without a backup."


def end(session: Session, lease: uuid.UUID, row: FinalBackup, why: str) -> None:
    """Plan no further try: what is kept aside is only to be dropped, and whoever has to know is told."""
    values = {"backup_id": None, "error": why, "lease": None, "leased_until": None, "next_attempt_at": func.now()}
    mine = update(FinalBackup).where(*_held(lease), FinalBackup.database_id == row.database_id)
    backup = session.get(Backup, row.backup_id) if row.backup_id else None
    if not _changed(session, mine.values(values)):
        return
    if backup is not None:
        _give_up(backup, why)
    session.expire(row)
    days = TRIED_FOR.days
    told = f"{why} It was tried for {days} days; the data that its host kept is dropped now."
    backup_notices.final_failed(session, row.database, told)


def _is_over(session: Session, row: FinalBackup) -> bool:
    if row.backup is None or row.backup.state == "available" or row.held_at is None:
        return False
    return bool(session.scalar(select(func.now() > row.held_at + TRIED_FOR)))


def lost(session: Session, lease: uuid.UUID, row: FinalBackup, why: str) -> None:
    """There is nothing left to dump: no try will bring it back, and whoever has to know is told."""
    gone = delete(FinalBackup).where(*_held(lease), FinalBackup.database_id == row.database_id)
    if session.execute(gone.returning(FinalBackup.database_id)).first() is None:
        return
    backup = session.get(Backup, row.backup_id) if row.backup_id else None
    if backup is not None:
        _give_up(backup, why)
    backup_notices.final_failed(session, row.database, why)


def hand_back(session: Session, lease: uuid.UUID) -> None:
    """Leave what was not done to whoever comes next, soon: what broke a worker must not keep the next one busy."""
    mine = update(FinalBackup).where(*_held(lease))
    later = func.now() + HANDED_BACK
    session.execute(
        mine.values(lease=None, leased_until=None, attempts=FinalBackup.attempts - 1, next_attempt_at=later)
    )


def done(session: Session, lease: uuid.UUID, database_ids: Sequence[uuid.UUID]) -> None:
    """What was kept aside is dropped."""
    gone = delete(FinalBackup).where(FinalBackup.lease == lease, FinalBackup.database_id.in_(database_ids))
    ids = list(session.scalars(gone.returning(FinalBackup.database_id)))
    left = update(Database).where(Database.id.in_(ids), Database.deleted_at.is_not(None))
    session.execute(left.values(held_as=None))


def names_on(session: Session, host_id: uuid.UUID) -> list[str]:
    """What the host's databases are called that are kept aside there."""
    return list(session.scalars(select(FinalBackup.name).where(FinalBackup.host_id == host_id)))


def _give_up(backup: Backup, why: str) -> None:
    if backup.state == "creating":
        backup.state, backup.error = "failed", why


def _due() -> tuple[ColumnElement[bool], ...]:
    return FinalBackup.held_at.is_not(None), FinalBackup.next_attempt_at <= func.now(), FREE


def _held(lease: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return FinalBackup.lease == lease, FinalBackup.leased_until > func.now()


def _changed(session: Session, statement: Update) -> bool:
    options = {"synchronize_session": False}
    return (
        session.execute(statement.returning(FinalBackup.database_id).execution_options(**options)).first() is not None
    )
