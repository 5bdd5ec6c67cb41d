"""The audit log: written with the change it tells of, never edited."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import AuditEvent, Database, Operation
from webapp.services.actors import Actor
from webapp.services.errors import NotAllowed
from webapp.services.guards import mark_audited
from webapp.services.paging import Page, paginate


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    *,
    database: Database | None = None,
    operation: Operation | None = None,
    details: dict[str, Any] | None = None,
) -> AuditEvent:
    """Add one event to the caller's transaction; *details* must hold no secret.

    Raises NotAllowed for an admin who only looks as somebody else: whatever is recorded is a change.
    """
    if actor.viewer is not None:
        raise NotAllowed("You are only looking. Stop viewing as this user to change something.")
    event = AuditEvent(
        actor_type=actor.type,
        actor_user_id=actor.user.id if actor.user else None,
        actor_api_key_id=actor.api_key.id if actor.api_key else None,
        actor_label=actor.label,
        action=action,
        subject=subject,
        database_id=database.id if database else None,
        operation_id=operation.id if operation else None,
        request_id=actor.request_id,
        ip=actor.ip,
        details=details or {},
    )
    session.add(event)
    mark_audited()
    return event


def recent_for_database(session: Session, database: Database, limit: int = 20) -> list[AuditEvent]:
    """The newest events of one database; the caller has checked that the actor may see it."""
    query = select(AuditEvent).where(AuditEvent.database_id == database.id).order_by(AuditEvent.id.desc()).limit(limit)
    return list(session.scalars(query))


def list_events(session: Session, actor: Actor, *, page: int = 1, limit: int = 50) -> Page[AuditEvent]:
    """What the actor did or what was done to the actor's databases, newest first; admins see all."""
    query = select(AuditEvent).order_by(AuditEvent.id.desc())
    if not actor.sees_everything:
        user_id = actor.user.id if actor.user else None
        owned = select(Database.id).where(Database.owner_id == user_id)
        query = query.where((AuditEvent.actor_user_id == user_id) | AuditEvent.database_id.in_(owned))
    return paginate(session, query, page=page, limit=limit)


def with_address(session: Session, actor: Actor, events: Sequence[AuditEvent]) -> set[int]:
    """The ids of *events* whose address the actor may know.

    Where the people of an earlier owner were is none of a new owner's business, after a database was handed over.
    """
    if actor.sees_everything:
        return {event.id for event in events}
    user_id = actor.user.id if actor.user else None
    handed_over = _handed_over(session, {event.database_id for event in events})
    return {e.id for e in events if e.actor_user_id == user_id or e.id > handed_over.get(e.database_id, 0)}


def _handed_over(session: Session, database_ids: set[uuid.UUID | None]) -> dict[uuid.UUID | None, int]:
    """The event by which each of the databases got its owner, of those that were handed over."""
    query = select(AuditEvent.database_id, func.max(AuditEvent.id).label("last")).group_by(AuditEvent.database_id)
    query = query.where(AuditEvent.action == "database.hand_over", AuditEvent.database_id.in_(database_ids))
    return {row.database_id: row.last for row in session.execute(query)}
