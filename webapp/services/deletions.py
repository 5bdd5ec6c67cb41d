"""Deleting a database with a last backup, listing what was deleted, and bringing it back."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Backup, Database, Operation
from webapp.models.databases import GENERATIONS
from webapp.services import access, audit, backups, databases, hosts, operations, plans, storage, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import BackupNotFound, Conflict, DatabaseNotFound, NameTaken
from webapp.services.guards import mark_authorized
from webapp.services.long_operations import when_ended, when_retried
from webapp.services.names import check_name


@dataclass(frozen=True)
class Deleted:
    """A deleted database that can be brought back, and the backup that it would come back from."""

    database: Database
    backup: Backup
    name_taken: bool


def delete_database(
    session: Session, actor: Actor, database: Database, *, skip_final_backup: bool = False
) -> Operation:
    """Queue the end of the database; its name is free afterwards, and a final backup of its data is kept.

    What never came to be on its host has nothing to back up. Raises DeleteProtected or OperationInProgress.
    """
    databases.lock(session, database)
    if skip_final_backup or not takes_final_backup(database):
        return databases.delete_database(session, actor, database)
    databases.require_unprotected(database)
    operations.require_idle(session, database)
    params = {"backup_id": str(backups.plan_backup(session, database, "final").id)}
    operation = databases.queue_change(
        session, actor, database, "database.delete", desired_state="absent", params=params, lane="long"
    )
    database.status = "deleting"
    return operation


def takes_final_backup(database: Database) -> bool:
    """Whether deleting the database takes a last backup; what never came to be on its host has nothing to back up."""
    return settings().final_backups and database.applied_generation is not None


def set_protection(session: Session, actor: Actor, database: Database, *, protected: bool) -> None:
    """Refuse, or allow again, to delete the database."""
    if database.delete_protection != protected:
        database.delete_protection = protected
        action = "database.protect" if protected else "database.unprotect"
        audit.record(session, actor, action, database.name, database=database)


def list_deleted(session: Session, actor: Actor) -> list[Deleted]:
    """What the actor owned, was deleted and can be brought back, newest first."""
    mark_authorized()
    owner_id = actor.user.id if actor.user else None
    query = select(Database).where(Database.owner_id == owner_id, Database.deleted_at.is_not(None))
    listed = session.scalars(query.order_by(Database.deleted_at.desc())).unique()
    gone = [database for database in listed if access.allows(actor, database, "own")]
    taken = _taken(session, [database.name for database in gone])
    found = ((database, backups.newest(session, database.id)) for database in gone)
    return [Deleted(database, backup, database.name in taken) for database, backup in found if backup is not None]


def find_deleted(session: Session, actor: Actor, database_id: uuid.UUID) -> Database:
    """The deleted database, for who owned it. Raises DatabaseNotFound."""
    mark_authorized()
    query = select(Database).where(Database.id == database_id, Database.deleted_at.is_not(None))
    database = session.scalar(query.with_for_update(of=Database))
    if database is None or not access.allows(actor, database, "own"):
        raise DatabaseNotFound
    return database


def undelete(session: Session, actor: Actor, database: Database, name: str | None = None) -> Operation:
    """Queue bringing a deleted database back from its newest backup: data, password, members, allowlist.

    Raises BackupNotFound, PlanLimitReached, ValidationFailed, NameTaken or HostUnavailable.
    """
    backup = backups.newest(session, database.id)
    if backup is None:
        raise BackupNotFound("There is no backup left that this database could come back from.")
    owner = users.lock(session, database.owner_id)
    plans.require_room(session, owner)
    before = {"deleted_at": database.deleted_at.isoformat() if database.deleted_at else None, "name": database.name}
    _bring_back(session, database, check_name(name) if name else database.name)
    params = {"backup_id": str(backup.id), "before": before}
    operation = operations.enqueue(session, "database.undelete", database, actor, params, lane="long")
    audit.record(session, actor, "database.undelete", database.name, database=database, operation=operation)
    return operation


def _bring_back(session: Session, database: Database, name: str) -> None:
    try:
        with session.begin_nested():
            database.name, database.deleted_at = name, None
            session.flush()
    except IntegrityError:
        raise NameTaken(f"The name {name} is taken meanwhile. Choose another.") from None
    database.status, database.desired_state, database.applied_generation = "creating", "present", None
    database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    if database.host.state != "active":
        database.host = hosts.place(session)
    if database.password_encrypted is None:
        databases.set_new_password(session, database)


def _taken(session: Session, names: list[str]) -> set[str]:
    query = select(Database.name).where(Database.name.in_(names), Database.deleted_at.is_(None))
    return set(session.scalars(query)) if names else set()


@when_ended("database.delete")
def _deleted(session: Session, operation: Operation) -> None:
    """A database that was not deleted after all is opened again, by an operation of its own."""
    if operation.state == "succeeded":
        return
    database, params = operation.database, operation.params
    backups.give_up(session, params["backup_id"], operation.error_message)
    database.desired_state, database.status = params["previous_state"], params["previous_status"]
    database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    if operation.attempt:
        kind = "database.stop" if database.desired_state == "stopped" else "database.start"
        again = {"previous_state": database.desired_state, "previous_status": database.status}
        operations.enqueue(session, kind, database, SYSTEM, again)


@when_ended("database.undelete")
def _undeleted(_session: Session, operation: Operation) -> None:
    """What never began is deleted as before; what failed can be retried or deleted."""
    database, before = operation.database, operation.params["before"]
    if operation.state == "succeeded":
        storage.restored(database)
        return
    if operation.attempt:
        database.status = "error"
        return
    database.name, database.deleted_at = before["name"], datetime.fromisoformat(before["deleted_at"])
    database.status, database.desired_state = "deleting", "absent"


@when_retried("database.delete")
def _delete_again(_session: Session, _operation: Operation) -> None:
    """The database was opened again: what is to be dumped and dropped now is another state of it."""
    raise Conflict("The database was opened again after this failed. Delete it anew.")


@when_retried("database.undelete", "database.clone")
def _make_again(_session: Session, operation: Operation) -> None:
    operation.database.status = "creating"
