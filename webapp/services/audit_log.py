"""The whole audit log for platform admins: found by filters, exported, and without actors after twelve months."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from webapp.models import AuditEvent
from webapp.services.actors import Actor
from webapp.services.paging import Page, paginate
from webapp.services.user_admin import require_admin

BATCH = 1000
COLUMNS = (
    "id", "at", "actor_type", "actor_user_id", "actor_api_key_id", "actor_label", "action", "subject", "database_id",
    "operation_id", "request_id", "ip", "details",
)  # fmt: skip

# The trigger lets exactly this through, and only of events that are old enough: migrations, audit.
REDACT = text("""
    UPDATE audit_events SET actor_user_id = NULL, actor_api_key_id = NULL, ip = NULL, actor_label = 'redacted',
        subject = CASE WHEN subject = actor_label THEN 'redacted' ELSE subject END
    WHERE id IN (
        SELECT id FROM audit_events
        WHERE actor_type <> 'system' AND actor_label <> 'redacted' AND at < now() - interval '12 months'
        ORDER BY at LIMIT 5000
    )
""")


@dataclass(frozen=True)
class Filters:
    """What is looked for; what is empty does not matter. Days are in UTC, both included."""

    who: str = ""
    action: str = ""
    subject: str = ""
    since: date | None = None
    until: date | None = None


def find(session: Session, actor: Actor, filters: Filters, *, page: int) -> Page[AuditEvent]:
    """Events that match, newest first."""
    require_admin(actor)
    return paginate(session, _matching(filters).order_by(AuditEvent.id.desc()), page=page, limit=50)


def actions(session: Session) -> list[str]:
    """Every action there has been, for a list to choose from."""
    return list(session.scalars(select(AuditEvent.action).distinct().order_by(AuditEvent.action)))


def export(session: Session, actor: Actor, filters: Filters) -> Iterator[dict[str, Any]]:
    """Every event that matches, the oldest first, as plain values; read in batches, however many there are."""
    require_admin(actor)
    return _rows(session, filters)


def redact(session: Session) -> None:
    """Take the actors from events older than twelve months. The caller commits; what is left comes next time."""
    session.execute(REDACT)


def _rows(session: Session, filters: Filters) -> Iterator[dict[str, Any]]:
    last = 0
    while True:
        batch = session.scalars(
            _matching(filters).where(AuditEvent.id > last).order_by(AuditEvent.id).limit(BATCH)
        ).all()
        yield from (_plain(event) for event in batch)
        if len(batch) < BATCH:
            return
        last = batch[-1].id
        session.expunge_all()


def _plain(event: AuditEvent) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in COLUMNS}
    return {
        name: value if isinstance(value, str | int | dict) or value is None else _text(value)
        for name, value in values.items()
    }


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _matching(filters: Filters) -> Select[AuditEvent]:
    query = select(AuditEvent)
    for column, word in ((AuditEvent.actor_label, filters.who), (AuditEvent.subject, filters.subject)):
        if word.strip():
            query = query.where(column.icontains(word.strip(), autoescape=True))
    if filters.action:
        query = query.where(AuditEvent.action == filters.action)
    if filters.since:
        query = query.where(AuditEvent.at >= _midnight(filters.since))
    if filters.until:
        query = query.where(AuditEvent.at < _midnight(filters.until + timedelta(days=1)))
    return query


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
