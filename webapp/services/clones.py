"""A new database with the data of another: of how it is now, or of one of its backups."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Operation
from webapp.services import audit, backups, databases, operations
from webapp.services.actors import Actor
from webapp.services.databases import DatabaseSpec
from webapp.services.long_operations import when_ended


def clone_database(
    session: Session, actor: Actor, source: Database, spec: DatabaseSpec, backup: Backup | None = None
) -> Operation:
    """Queue a new database of the actor's with the data of *backup*, or of one that is made of *source* first.

    The caller has checked permission `clone` on *source*. Raises what `create_database` raises, and DatabaseNotActive.
    """
    made_first = backup is None
    if backup is None:
        databases.lock(session, source)
        backups.require_active(source)
        backup = backups.plan_backup(session, source, "manual")
    database = databases.add_database(session, actor, spec)
    params = {"backup_id": str(backup.id), "made_first": made_first} | databases.secret_mark(
        database.password_encrypted
    )
    operation = operations.enqueue(session, "database.clone", database, actor, params, lane="long")
    details = {"from": source.name, "backup": backup.filename}
    audit.record(
        session, actor, "database.clone", database.name, database=database, operation=operation, details=details
    )
    return operation


@when_ended("database.clone")
def _cloned(session: Session, operation: Operation) -> None:
    """One that never began leaves nothing behind; one that failed can be retried or deleted."""
    database = operation.database
    if operation.state == "succeeded":
        return
    if operation.params["made_first"]:
        backups.give_up(session, operation.params["backup_id"], operation.error_message)
    if operation.attempt:
        database.status = "error"
    else:
        database.deleted_at, database.desired_state = datetime.now(UTC), "absent"
        database.verifier = database.password_encrypted = None
