"""Redaction of actors: after twelve months, by the one way that the trigger lets through."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from webapp.models import AuditEvent
from webapp.services import audit_log

OLD = datetime.now(UTC) - timedelta(days=400)
RECENT = datetime.now(UTC) - timedelta(days=300)


def add(session: Session, at: datetime, **values: object) -> AuditEvent:
    defaults = {
        "actor_type": "user", "actor_label": "alice@example.com", "ip": "192.0.2.1", "action": "user.sign_in",
        "subject": "alice@example.com", "details": {"method": "password"},
    }  # fmt: skip
    event = AuditEvent(at=at, **(defaults | values))
    session.add(event)
    session.commit()
    return event


def test_old_events_lose_their_actor_and_nothing_else(session: Session) -> None:
    old, recent = add(session, OLD), add(session, RECENT)
    other = add(session, OLD, action="database.create", subject="shop")
    system = add(session, OLD, actor_type="system", actor_label="system", subject="shop", ip=None)
    audit_log.redact(session)
    session.commit()
    session.expire_all()
    assert (old.actor_label, old.subject, old.ip) == ("redacted", "redacted", None)
    assert (old.action, old.details) == ("user.sign_in", {"method": "password"})
    assert (other.actor_label, other.subject) == ("redacted", "shop")
    assert recent.actor_label == "alice@example.com"
    assert system.actor_label == "system"


@pytest.mark.parametrize(
    "change",
    [
        "action = 'x'",
        "details = '{}'",
        "actor_label = 'redacted', ip = NULL, subject = 'x'",
        "actor_label = 'redacted', ip = NULL, at = now()",
        "actor_label = 'somebody else', ip = NULL",
        "actor_label = 'redacted'",
    ],
)
def test_the_trigger_lets_nothing_else_through(session: Session, change: str) -> None:
    add(session, OLD)
    with pytest.raises(ProgrammingError, match="append-only"):
        session.execute(text(f"UPDATE audit_events SET {change}"))  # noqa: S608


def test_a_recent_event_is_not_redacted_by_hand_either(session: Session) -> None:
    add(session, RECENT)
    with pytest.raises(ProgrammingError, match="append-only"):
        session.execute(text("UPDATE audit_events SET actor_label = 'redacted', ip = NULL"))
    session.rollback()
    with pytest.raises(ProgrammingError, match="append-only"):
        session.execute(text("DELETE FROM audit_events"))
    session.rollback()
    assert session.scalars(select(AuditEvent.actor_label)).all() == ["alice@example.com"]
