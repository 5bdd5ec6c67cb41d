"""When each database is backed up and drilled by itself. Due times are rows, so that a worker that slept catches up."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Backup, BackupSchedule, Database, Operation
from webapp.services import audit, backups, drills, plans
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import PlanLimitReached, ServiceError, ValidationFailed

EVERY_HOURS = (6, 12, 24, 48, 168)
# A drill comes this long after the backup was due, so that a night's backups are not held up by it.
DRILL_AFTER = timedelta(hours=1)
LOOKED_AT = 50
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('dbhost backup schedule', 0))")
UNDER_WAY = ("backup.create", "backup.drill")
type Due = Select[BackupSchedule, Database]
type Rows = list[tuple[BackupSchedule, Database]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Wish:
    """How a person wants a database to be backed up."""

    enabled: bool
    hour_utc: int
    every_hours: int
    retention_days: int


def next_run(hour_utc: int, every_hours: int, now: datetime) -> datetime:
    """The next time after *now* that is a multiple of *every_hours* from *hour_utc* of some day."""
    every = timedelta(hours=every_hours)
    anchor = datetime(2000, 1, 1, hour_utc, tzinfo=UTC)
    return anchor + ((now - anchor) // every + 1) * every


def of_database(session: Session, database: Database) -> BackupSchedule:
    """The database's schedule; the one that it will get, where the worker has not made it yet."""
    found = session.get(BackupSchedule, database.id)
    return found or _default(database, datetime.now(UTC))


def change(session: Session, actor: Actor, database: Database, wish: Wish) -> BackupSchedule:
    """Replace the schedule. What is there already keeps its expiry. Raises ValidationFailed or PlanLimitReached."""
    _check(database, wish)
    now = datetime.now(UTC)
    schedule = session.get(BackupSchedule, database.id, with_for_update=True)
    if schedule is None:
        schedule = _default(database, now)
        session.add(schedule)
    before = _values(schedule)
    schedule.enabled, schedule.hour_utc = wish.enabled, wish.hour_utc
    schedule.every_hours, schedule.retention_days = wish.every_hours, wish.retention_days
    schedule.next_run_at = next_run(wish.hour_utc, wish.every_hours, now)
    details = {"from": before, "to": _values(schedule)}
    audit.record(session, actor, "backup.schedule", database.name, database=database, details=details)
    session.flush()
    return schedule


def enrol(session: Session) -> int:
    """Give each active database without a schedule the default one; how many got one."""
    missing = select(Database).where(
        Database.deleted_at.is_(None), Database.status == "active",
        ~select(BackupSchedule.database_id).where(BackupSchedule.database_id == Database.id).exists(),
    )  # fmt: skip
    found = session.scalars(missing.limit(500)).unique().all()
    session.add_all(_default(database, datetime.now(UTC)) for database in found)
    session.flush()
    return len(found)


def queue_due(session: Session) -> list[Operation]:
    """Queue the backups, then the drills, that are due, as many as their hosts can bear. The caller commits.

    One caller at a time: another one's finds nothing to do.
    """
    if not session.scalar(LOCK):
        return []
    _mend_clock(session)
    return [*_queue(session, _due_backups, _back_up), *_queue(session, _due_drills, _drill)]


def _queue(
    session: Session, due: Callable[[Session, Due], Rows], ask: Callable[[Session, Database], Operation | None]
) -> list[Operation]:
    """Ask for each, until its host has enough to do. One that is busy now is asked for later."""
    load = _load(session)
    full = [host_id for host_id, count in load.items() if count >= settings().backups_at_once]
    queued = []
    for schedule, database in due(session, _active().where(Database.host_id.not_in(full))):
        if load.get(database.host_id, 0) >= settings().backups_at_once:
            continue
        try:
            with session.begin_nested():
                operation = ask(session, database)
        except ServiceError as error:
            log.info("backup_put_off", database_id=str(database.id), reason=error.code)
            continue
        if ask is _back_up:
            schedule.next_run_at = next_run(schedule.hour_utc, schedule.every_hours, datetime.now(UTC))
        else:
            schedule.next_drill_at = datetime.now(UTC) + timedelta(days=settings().drill_every_days)
        if operation is not None:
            queued.append(operation)
            load[database.host_id] = load.get(database.host_id, 0) + 1
    return queued


def _back_up(session: Session, database: Database) -> Operation | None:
    return backups.create_backup(session, SYSTEM, database, "scheduled")


def _drill(session: Session, database: Database) -> Operation | None:
    backup = backups.newest(session, database.id)
    sealed = backup is not None and backup.encrypted and settings().backup_age_identity is None
    return None if backup is None or sealed else drills.queue_drill(session, SYSTEM, database, backup)


def _due_backups(session: Session, active: Due) -> Rows:
    query = active.where(BackupSchedule.enabled, BackupSchedule.next_run_at <= func.now())
    return _locked(session, query.order_by(BackupSchedule.next_run_at, BackupSchedule.database_id))


def _due_drills(session: Session, active: Due) -> Rows:
    if not settings().drill_every_days:
        return []
    has_backup = select(Backup.id).where(Backup.database_id == Database.id, Backup.state == "available").exists()
    query = active.where(has_backup, BackupSchedule.next_drill_at <= func.now())
    return _locked(session, query.order_by(BackupSchedule.next_drill_at, BackupSchedule.database_id))


def _active() -> Due:
    busy = select(Operation.id).where(
        Operation.database_id == Database.id, Operation.lane == "long", Operation.state.in_(("queued", "running"))
    )
    return (
        select(BackupSchedule, Database)
        .join(Database, Database.id == BackupSchedule.database_id)
        .where(Database.deleted_at.is_(None), Database.status == "active", ~busy.exists())
    )


def _locked(session: Session, query: Due) -> Rows:
    rows = session.execute(query.limit(LOOKED_AT).with_for_update(of=BackupSchedule, skip_locked=True)).unique()
    return [(row[0], row[1]) for row in rows]


def _load(session: Session) -> dict[uuid.UUID, int]:
    """How many dumps and drills each host has before it, whoever asked for them."""
    query = select(Operation.host_id, func.count()).where(
        Operation.kind.in_(UNDER_WAY), Operation.state.in_(("queued", "running"))
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(Operation.host_id))}


def _mend_clock(session: Session) -> None:
    """A clock that was ahead for a while has set times too far away: nothing is due later than one period from now."""
    session.execute(
        text("""
        UPDATE backup_schedules SET next_run_at = now()
        WHERE enabled AND next_run_at > now() + make_interval(hours => every_hours) + interval '5 minutes'
    """)
    )


def _default(database: Database, now: datetime) -> BackupSchedule:
    at = next_run(2, 24, now)
    return BackupSchedule(
        database_id=database.id, enabled=True, hour_utc=2, every_hours=24,
        retention_days=min(backups.DEFAULT_RETENTION_DAYS, plans.plan_of(database.owner).backup_retention_days),
        next_run_at=at, next_drill_at=at + DRILL_AFTER,
    )  # fmt: skip


def _values(schedule: BackupSchedule) -> dict[str, bool | int]:
    names = ("enabled", "hour_utc", "every_hours", "retention_days")
    return {name: getattr(schedule, name) for name in names}


def _check(database: Database, wish: Wish) -> None:
    """Raises ValidationFailed for what no plan allows, PlanLimitReached for what this one does not."""
    errors = {}
    if not 0 <= wish.hour_utc <= 23:
        errors["hourUtc"] = ["Choose an hour from 0 to 23."]
    if wish.every_hours not in EVERY_HOURS:
        errors["everyHours"] = [f"Choose one of {', '.join(map(str, EVERY_HOURS))}."]
    if wish.retention_days < 1:
        errors["retentionDays"] = ["Keep backups for a day at least."]
    if errors:
        raise ValidationFailed("The schedule is not allowed.", errors=errors)
    plan = plans.plan_of(database.owner)
    if wish.every_hours < plan.backup_every_hours:
        raise PlanLimitReached(f"The {plan.title} plan allows a backup every {plan.backup_every_hours} hours at most.")
    if wish.retention_days > plan.backup_retention_days:
        raise PlanLimitReached(f"The {plan.title} plan keeps backups for {plan.backup_retention_days} days at most.")
