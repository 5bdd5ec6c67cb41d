"""Who may do what with a database: the permission table, and the one place that asks it."""

import uuid

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from webapp.models import Database
from webapp.services.actors import Actor
from webapp.services.errors import DatabaseNotFound, KeyScopeDenied
from webapp.services.guards import mark_authorized

# product.md, section 4. Members (admin, developer, viewer) join this table when a database can be shared.
PERMISSIONS: dict[str, frozenset[str]] = {
    "view": frozenset({"owner", "platform_admin"}),
    "credentials": frozenset({"owner"}),
    "operate": frozenset({"owner", "platform_admin"}),
    "own": frozenset({"owner"}),
}


def relation(actor: Actor, database: Database) -> str | None:
    """What *actor* is to *database*: `owner`, `platform_admin`, or None for a stranger."""
    if (
        actor.api_key is not None
        and actor.api_key.scope == "selected"
        and database.id not in actor.api_key.database_ids
    ):
        return None
    if actor.user is None:
        return "owner"
    if database.owner_id == actor.user.id:
        return "owner"
    return "platform_admin" if actor.sees_everything else None


def allows(actor: Actor, database: Database, permission: str) -> bool:
    """Whether the table allows *permission*, for pages that show only what can be done."""
    return relation(actor, database) in PERMISSIONS[permission]


def require(session: Session, actor: Actor, database_id: uuid.UUID, permission: str) -> Database:
    """The live database, when *actor* has *permission* on it.

    Raises DatabaseNotFound for a missing one, a stranger's and one beyond the permission alike.
    """
    mark_authorized()
    database = session.scalar(select(Database).where(Database.id == database_id, Database.deleted_at.is_(None)))
    if database is None or not allows(actor, database, permission):
        raise DatabaseNotFound
    return database


def visible(actor: Actor) -> ColumnElement[bool]:
    """The condition that keeps a list of databases to what *actor* may see."""
    mark_authorized()
    if actor.api_key is not None and actor.api_key.scope == "selected":
        return Database.id.in_(actor.api_key.database_ids) & (Database.owner_id == actor.api_key.user_id)
    if actor.sees_everything:
        return true()
    return Database.owner_id == (actor.user.id if actor.user else None)


def require_full_account(actor: Actor) -> None:
    """Raises KeyScopeDenied for a selected API key: the call concerns the whole account."""
    mark_authorized()
    if actor.api_key is not None and actor.api_key.scope != "full":
        raise KeyScopeDenied("This API key is limited to selected databases. Use a full-account key.")
