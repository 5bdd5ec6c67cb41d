"""Restore drills: proving that a backup can be restored, by restoring it beside the database and comparing."""

import uuid

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Operation
from webapp.services import audit, backup_notices, operations
from webapp.services.actors import Actor
from webapp.services.long_operations import when_ended

log = structlog.get_logger(__name__)


def queue_drill(session: Session, actor: Actor, database: Database, backup: Backup) -> Operation:
    """Queue a drill of *backup*; the database is not touched. Raises OperationInProgress."""
    params = {"backup_id": str(backup.id)}
    operation = operations.enqueue(session, "backup.drill", database, actor, params, lane="long")
    audit.record(session, actor, "backup.drill", backup.filename, database=database, operation=operation)
    return operation


def last_proven(session: Session, database: Database) -> Backup | None:
    """The backup that was proven restorable last."""
    query = select(Backup).where(Backup.database_id == database.id, Backup.proven_at.is_not(None))
    return session.scalar(query.order_by(Backup.proven_at.desc()).limit(1))


@when_ended("backup.drill")
def _drilled(session: Session, operation: Operation) -> None:
    """A drill that failed is told to whoever has to know: a backup that cannot be restored is none."""
    backup = session.get(Backup, uuid.UUID(operation.params["backup_id"]))
    if backup is None or operation.state != "failed":
        return
    backup.drill_error = operation.error_message or "The drill failed."
    log.error("drill_failed", database_id=str(operation.database_id), backup=backup.filename, step=operation.error_step)
    what = f"The backup {backup.filename} could not be proven restorable"
    backup_notices.tell(session, operation, what, admins=True)
