"""Who may do what with a database: the permission table, and the one place that asks it."""

import uuid
from dataclasses import replace

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from webapp.models import Database, Member
from webapp.services.actors import Actor
from webapp.services.errors import DatabaseNotFound, KeyScopeDenied, NotFound
from webapp.services.guards import mark_authorized

# `admin`, `developer` and `viewer` are the levels of members; a platform admin is something else.
PERMISSIONS: dict[str, frozenset[str]] = {
    "view": frozenset({"owner", "admin", "developer", "viewer", "platform_admin"}),
    "credentials": frozenset({"owner", "admin", "developer"}),
    "operate": frozenset({"owner", "admin", "platform_admin"}),
    # By the API a reset answers with the new password, which is not for platform admins.
    "reset_password": frozenset({"owner", "admin"}),
    "own": frozenset({"owner"}),
    # Credentials of one's own, which the owner has no need of.
    "member": frozenset({"admin", "developer", "viewer"}),
    "list_backups": frozenset({"owner", "admin", "developer", "platform_admin"}),
    # Backups hold all data, which is not for platform admins.
    "download_backups": frozenset({"owner", "admin", "developer"}),
    "clone": frozenset({"owner", "admin"}),
    # Which host a database is on is the operators' business.
    "move": frozenset({"platform_admin"}),
}


def relations(actor: Actor, database: Database) -> frozenset[str]:
    """What *actor* is to *database*: its owner or a member of some level, and perhaps a platform admin too.

    Whoever only looks as somebody is a viewer of what that one may see.
    """
    if actor.viewer is not None:
        return frozenset({"viewer"} if relations(replace(actor, viewer=None), database) else ())
    if (
        actor.api_key is not None
        and actor.api_key.scope == "selected"
        and database.id not in actor.api_key.database_ids
    ):
        return frozenset()
    if actor.user is None:
        return frozenset({"owner"})
    overall = {"platform_admin"} if actor.sees_everything else set()
    if database.owner_id == actor.user.id:
        return frozenset({"owner", *overall})
    return frozenset({*(member.level for member in database.members if member.user_id == actor.user.id), *overall})


def allows(actor: Actor, database: Database, permission: str) -> bool:
    """Whether the table allows *permission*, for pages that show only what can be done."""
    return not relations(actor, database).isdisjoint(PERMISSIONS[permission])


def require(session: Session, actor: Actor, database_id: uuid.UUID, permission: str) -> Database:
    """The live database, when *actor* has *permission* on it.

    Raises DatabaseNotFound for a missing one, a stranger's and one beyond the permission alike.
    """
    mark_authorized()
    database = session.scalar(select(Database).where(Database.id == database_id, Database.deleted_at.is_(None)))
    if database is None or not allows(actor, database, permission):
        raise DatabaseNotFound
    return database


def require_also_deleted(session: Session, actor: Actor, database_id: uuid.UUID, permission: str) -> Database:
    """As `require`, for what is told again: the database may have been deleted since. Raises DatabaseNotFound."""
    mark_authorized()
    database = session.get(Database, database_id, populate_existing=True)
    if database is None or not allows(actor, database, permission):
        raise DatabaseNotFound
    return database


def visible(actor: Actor) -> ColumnElement[bool]:
    """The condition that keeps a list of databases to what *actor* may see."""
    mark_authorized()
    if actor.api_key is not None and actor.api_key.scope == "selected":
        return Database.id.in_(actor.api_key.database_ids) & _owned_or_shared(actor.api_key.user_id)
    if actor.sees_everything:
        return true()
    return _owned_or_shared(actor.user.id if actor.user else None)


def require_full_account(actor: Actor) -> None:
    """Raises KeyScopeDenied for a selected API key: the call concerns the whole account."""
    mark_authorized()
    if actor.api_key is not None and actor.api_key.scope != "full":
        raise KeyScopeDenied("This API key is limited to selected databases. Use a full-account key.")


def require_platform_admin(actor: Actor) -> None:
    """Raises NotFound for everybody else, and for a selected key, as if there were no such address."""
    mark_authorized()
    if not actor.sees_everything:
        raise NotFound("There is no such address.")


def _owned_or_shared(user_id: uuid.UUID | None) -> ColumnElement[bool]:
    shared = select(Member.database_id).where(Member.user_id == user_id)
    return or_(Database.owner_id == user_id, Database.id.in_(shared))
