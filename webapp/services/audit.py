"""The audit log: written with the change it tells of, never edited."""

from typing import Any

from sqlalchemy import select
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
