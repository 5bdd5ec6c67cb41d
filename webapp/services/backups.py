"""Backups of a database: made, listed, found, restored, deleted. Each is an operation that a worker carries alone."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Backup, BackupSchedule, Database, Operation
from webapp.services import audit, backup_notices, databases, operations, plans, storage
from webapp.services.actors import Actor
from webapp.services.errors import BackupNotFound, DatabaseNotActive, InvalidBackupFilename
from webapp.services.long_operations import when_ended, when_retried

FILENAME = re.compile(r"\d{8}_\d{6}\.sql\.gz", re.ASCII)
DEFAULT_RETENTION_DAYS = 30
SAFETY_RETENTION = timedelta(days=7)


def list_backups(session: Session, database: Database) -> list[Backup]:
    """The finished backups, newest first; the caller has checked permission `list_backups`."""
    query = select(Backup).where(Backup.database_id == database.id, Backup.state == "available")
    return list(session.scalars(query.order_by(Backup.filename.desc())))


def find_backup(session: Session, database: Database, filename: str) -> Backup:
    """The finished backup with this name. Raises InvalidBackupFilename or BackupNotFound."""
    if not FILENAME.fullmatch(filename):
        raise InvalidBackupFilename("A backup's name looks like 20261124_020000.sql.gz.")
    query = select(Backup).where(
        Backup.database_id == database.id, Backup.filename == filename, Backup.state == "available"
    )
    backup = session.scalar(query)
    if backup is None:
        raise BackupNotFound
    return backup


def newest(session: Session, database_id: uuid.UUID) -> Backup | None:
    """The newest finished backup of a database, deleted or not."""
    query = select(Backup).where(Backup.database_id == database_id, Backup.state == "available")
    return session.scalar(query.order_by(Backup.filename.desc()).limit(1))


def object_key(backup: Backup) -> str:
    """The backup's key in the object store; the database's id in it, since names are used again."""
    return f"databases/{backup.database_id}/{backup.filename}"


def create_backup(session: Session, actor: Actor, database: Database, kind: str = "manual") -> Operation:
    """Queue a backup. Raises DatabaseNotActive or OperationInProgress."""
    databases.lock(session, database)
    require_active(database)
    backup = plan_backup(session, database, kind)
    params = {"backup_id": str(backup.id)}
    operation = operations.enqueue(session, "backup.create", database, actor, params, lane="long")
    audit.record(session, actor, "backup.create", backup.filename, database=database, operation=operation)
    return operation


def plan_backup(session: Session, database: Database, kind: str) -> Backup:
    """The row of a backup to be made, which nobody sees before it is whole. The caller holds the database's lock."""
    now = datetime.now(UTC)
    backup = Backup(
        id=uuid.uuid4(),
        database=database,
        host=database.host,
        kind=kind,
        filename=_free_filename(session, database, now),
        store="s3" if settings().s3_bucket else "host",
        expires_at=now + retention(session, database, kind),
    )
    session.add(backup)
    session.flush()
    return backup


def retention(session: Session, database: Database, kind: str) -> timedelta:
    """How long a backup of that kind is kept."""
    if kind == "safety":
        return SAFETY_RETENTION
    schedule = session.get(BackupSchedule, database.id)
    days = schedule.retention_days if schedule else DEFAULT_RETENTION_DAYS
    return timedelta(days=min(days, plans.plan_of(database.owner).backup_retention_days))


def restore_backup(session: Session, actor: Actor, database: Database, backup: Backup) -> Operation:
    """Queue a restore in place: everything in the database is replaced by what is in *backup*."""
    source = {"backup_id": str(backup.id)}
    return queue_restore(session, actor, database, source, backup.filename, {"filename": backup.filename})


def queue_restore(
    session: Session, actor: Actor, database: Database, source: dict[str, str], subject: str, details: dict[str, Any]
) -> Operation:
    """Queue a restore in place from *source*, which takes a safety backup first.

    Nothing else may change the database meanwhile. Raises DatabaseNotActive or OperationInProgress.
    """
    databases.lock(session, database)
    require_active(database)
    operations.require_idle(session, database)
    safety = plan_backup(session, database, "safety")
    params = {**source, "safety_id": str(safety.id), "previous_status": database.status}
    operation = operations.enqueue(session, "backup.restore", database, actor, params, lane="long")
    database.status = "restoring"
    audit.record(session, actor, "backup.restore", subject, database=database, operation=operation, details=details)
    return operation


def delete_backup(session: Session, actor: Actor, database: Database, backup: Backup) -> Operation:
    """Queue the end of one backup."""
    params = {"backup_id": str(backup.id), "filename": backup.filename}
    operation = operations.enqueue(session, "backup.delete", database, actor, params, lane="long")
    audit.record(session, actor, "backup.delete", backup.filename, database=database, operation=operation)
    return operation


def require_active(database: Database) -> None:
    """Raises DatabaseNotActive: only an open database can be dumped, or replaced by a restore."""
    if database.deleted_at is not None or database.status != "active":
        raise DatabaseNotActive(f"The database is {database.status}; this needs it to be active.")


def _free_filename(session: Session, database: Database, now: datetime) -> str:
    """The moment's name; a later second's when two fall into one."""
    taken = set(session.scalars(select(Backup.filename).where(Backup.database_id == database.id)))
    while (name := f"{now:%Y%m%d_%H%M%S}.sql.gz") in taken:
        now += timedelta(seconds=1)
    return name


@when_ended("backup.create")
def _created(session: Session, operation: Operation) -> None:
    """A dump that did not come to its end is no backup; its row says why until it expires."""
    if operation.state != "succeeded":
        give_up(session, operation.params["backup_id"], operation.error_message)
    if operation.state == "failed":
        backup_notices.tell(session, operation, "The backup failed")


@when_ended("backup.restore")
def _restored(session: Session, operation: Operation) -> None:
    """The live database was untouched until the swap, so that it is as open as before, however this ended."""
    database = operation.database
    if database.status == "restoring":
        database.status = operation.params["previous_status"]
    if operation.state == "succeeded":
        storage.restored(database)
    else:
        give_up(session, operation.params["safety_id"], operation.error_message)
    if operation.state == "failed":
        backup_notices.tell(session, operation, "The restore failed and nothing was changed")


@when_retried("backup.restore")
def _again(session: Session, operation: Operation) -> None:
    databases.lock(session, operation.database)
    require_active(operation.database)
    operations.require_idle(session, operation.database, besides=operation)
    operation.database.status = "restoring"


def give_up(session: Session, backup_id: str, why: str | None) -> None:
    """Mark a backup that is not whole as failed; one that is stays."""
    backup = session.get(Backup, uuid.UUID(backup_id), with_for_update={"of": Backup})
    if backup is not None and backup.state == "creating":
        backup.state, backup.error = "failed", why or "It was cancelled."
