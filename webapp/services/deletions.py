"""Deleting a database with a last backup, listing what was deleted, and bringing it back."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Backup, Database, FinalBackup, Operation
from webapp.models.databases import GENERATIONS
from webapp.services import (
    access,
    audit,
    backups,
    copies,
    databases,
    final_backups,
    hosts,
    operations,
    plans,
    storage,
    users,
)
from webapp.services.actors import Actor
from webapp.services.errors import BackupNotFound, DatabaseNotFound, NameTaken
from webapp.services.guards import mark_authorized
from webapp.services.long_operations import when_ended, when_retried
from webapp.services.names import check_name


@dataclass(frozen=True)
class Deleted:
    """A deleted database that can be brought back: from *backup*, or *held*, from what its host keeps aside."""

    database: Database
    backup: Backup | None
    held: FinalBackup | None
    name_taken: bool

    @property
    def tried_until(self) -> datetime | None:
        """When a final backup that fails is given up, and the data is dropped."""
        return final_backups.ends_at(self.held) if self.held else None

    @property
    def final(self) -> Backup:
        """The backup that it comes back from, once that is whole."""
        found = self.backup or (self.held.backup if self.held else None)
        if found is None:
            raise BackupNotFound
        return found


def delete_database(
    session: Session, actor: Actor, database: Database, *, skip_final_backup: bool = False
) -> Operation:
    """Queue the end of the database; its name is free afterwards, and a final backup of its data is made and kept.

    The host keeps the data aside until then. What never came to be there has nothing to back up.
    Raises DeleteProtected or OperationInProgress.
    """
    databases.lock(session, database)
    databases.require_unprotected(database)
    if takes_final_backup(database) and not skip_final_backup:
        operations.require_idle(session, database)
        planned = final_backups.planned(session, database) or backups.plan_backup(session, database, "final")
        final_backups.plan(session, database, planned)
    elif database.held_as is not None:  # an earlier deletion that failed may have put it aside already
        final_backups.plan(session, database, None)
    return databases.delete_database(session, actor, database)


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
    found = [_deleted(session, database, name_taken=database.name in taken) for database in gone]
    return [one for one in found if one.backup is not None or one.held is not None]


def find_undoable(session: Session, actor: Actor, database: Database) -> Deleted | None:
    """How the deleted *database* can be brought back; None for those who did not own it, and when it cannot."""
    if database.deleted_at is None or not access.allows(actor, database, "own"):
        return None
    found = _deleted(session, database, name_taken=bool(_taken(session, [database.name])))
    return found if found.backup is not None or found.held is not None else None


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

    Where the final backup could not be made yet, what the host keeps aside comes back as it is.
    Raises BackupNotFound, PlanLimitReached, ValidationFailed, NameTaken, OperationInProgress or HostUnavailable.
    """
    held = final_backups.require_unattended(session, database)
    backup = None if held else backups.newest(session, database.id)
    if held is None and backup is None:
        raise BackupNotFound("There is no backup left that this database could come back from.")
    owner = users.lock(session, database.owner_id)
    plans.require_room(session, owner, returning=database)
    before = {"deleted_at": database.deleted_at.isoformat() if database.deleted_at else None, "name": database.name}
    _bring_back(session, database, check_name(name) if name else database.name)
    params: dict[str, Any] = {"before": before} | ({"backup_id": str(backup.id)} if backup else {})
    if held is None:
        _place(session, database)
        database.held_as = None  # what may still be kept aside is as in the backup, and about to be dropped
    else:
        held.held_at = None  # nobody is to dump and drop it from now on
    lane = "converge" if held else "long"
    operation = operations.enqueue(session, "database.undelete", database, actor, params, lane=lane)
    audit.record(session, actor, "database.undelete", database.name, database=database, operation=operation)
    return operation


def _deleted(session: Session, database: Database, *, name_taken: bool) -> Deleted:
    row = final_backups.of_database(session, database) if database.held_as else None
    held = row if row is not None and row.backup is not None and row.backup.state != "available" else None
    return Deleted(database, None if held else backups.newest(session, database.id), held, name_taken)


def _place(session: Session, database: Database) -> None:
    """A host that takes databases: a dump can be restored anywhere."""
    if database.host.state != "active":
        database.host = hosts.place(session, copies.none_on_host(database.name, database.id))


def _bring_back(session: Session, database: Database, name: str) -> None:
    before = database.name
    try:
        with session.begin_nested():
            database.name, database.deleted_at = name, None
            session.flush()
    except IntegrityError:
        raise NameTaken(f"The name {name} is taken meanwhile. Choose another.") from None
    database.status, database.desired_state, database.applied_generation = "creating", "present", None
    database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    if name != before:
        for member in database.members:  # their roles are called after the database
            member.credential = None
    if database.password_encrypted is None:
        databases.set_new_password(session, database)


def _taken(session: Session, names: list[str]) -> set[str]:
    query = select(Database.name).where(Database.name.in_(names), Database.deleted_at.is_(None))
    return set(session.scalars(query)) if names else set()


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


@when_retried("database.undelete", "database.clone")
def _make_again(_session: Session, operation: Operation) -> None:
    operation.database.status = "creating"
