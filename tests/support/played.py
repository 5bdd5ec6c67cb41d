"""What a worker writes when a long operation has succeeded, for scripted workers that have no host."""

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from tests.support.rows import DUMP, dumped
from webapp.models import Backup, Database, FinalBackup, Operation
from webapp.services import long_operations, spool


def end_long(session: Session, operation: Operation) -> None:
    """Write what came of the operation, whose state says already how it ended."""
    if operation.state == "succeeded":
        backup_id = operation.params.get("backup_id")
        backup = session.get(Backup, uuid.UUID(backup_id)) if backup_id else None
        _succeed(session, operation, operation.database, backup)
    session.flush()
    long_operations.ended(session, operation)


def end_delete(session: Session, database: Database) -> None:
    """The database is gone; its final backup, where one was planned, is made and what was kept aside is dropped."""
    database.deleted_at = datetime.now(UTC)
    planned = session.get(FinalBackup, database.id)
    if planned is None or planned.backup is None:
        database.verifier, database.password_encrypted = None, None
        return
    for name, value in dumped().items():
        setattr(planned.backup, name, value)
    session.delete(planned)
    database.held_as = None


def _succeed(session: Session, operation: Operation, database: Database, backup: Backup | None) -> None:
    kind = operation.kind
    safety_id = operation.params.get("safety_id")
    for made in (backup, session.get(Backup, uuid.UUID(safety_id)) if safety_id else None):
        if made is not None and made.state == "creating":
            for name, value in dumped().items():
                setattr(made, name, value)
    if kind == "backup.fetch" and backup is not None:
        spool.ensure()
        spool.copy(backup.id).write_bytes(DUMP)
    elif kind == "backup.delete" and backup is not None:
        session.delete(backup)
    elif kind == "backup.drill" and backup is not None:
        backup.proven_at = datetime.now(UTC)
    elif kind in ("database.undelete", "database.clone"):
        database.status, database.applied_generation = "active", database.generation
