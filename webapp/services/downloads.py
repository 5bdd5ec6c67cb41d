"""Downloads of backups: from the object store as they are, from a host's store by way of the spool."""

import os
import uuid
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Operation
from webapp.services import audit, operations, spool
from webapp.services.actors import Actor
from webapp.services.errors import OperationInProgress

FETCH = "backup.fetch"


def record(session: Session, actor: Actor, database: Database, backup: Backup) -> None:
    """Who takes the data away is an event of its own."""
    audit.record(session, actor, "backup.download", backup.filename, database=database)


def ready_copy(backup: Backup) -> Path | None:
    """The copy in the spool, kept for some time more; None where there is none yet."""
    path = spool.copy(backup.id)
    try:
        os.utime(path)
    except FileNotFoundError:
        return None
    except PermissionError:  # the worker's file: it may be read here, and is kept as long as the worker says
        return path
    return path


def queue_copy(session: Session, actor: Actor, database: Database, backup: Backup) -> Operation:
    """Queue bringing a copy to the spool, or join who does that already.

    While something else is at the database (a backup, a restore) that is returned, to be waited for.
    """
    query = select(Operation).where(
        Operation.database_id == database.id,
        Operation.kind == FETCH,
        Operation.state.in_(("queued", "running")),
        Operation.params["backup_id"].astext == str(backup.id),
    )
    under_way = session.scalar(query)
    params = {"backup_id": str(backup.id)}
    if under_way is not None:
        return under_way
    try:
        return operations.enqueue(session, FETCH, database, actor, params, lane="long")
    except OperationInProgress:
        at_it = select(Operation).where(Operation.database_id == database.id, Operation.lane == "long")
        busy = session.scalar(at_it.where(Operation.state.in_(("queued", "running"))))
        if busy is None:
            raise
        return busy


def find(session: Session, backup_id: uuid.UUID) -> Backup | None:
    """The backup as it is now."""
    return session.get(Backup, backup_id)
