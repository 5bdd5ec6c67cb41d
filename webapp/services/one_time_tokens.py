"""Issue and use secrets that work once: only their SHA-256 is kept."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from webapp.models import OneTimeToken, User
from webapp.services.digests import digest
from webapp.services.errors import LinkNotValid

LIFETIMES = {
    "sign_up": timedelta(days=1),
    "reset_password": timedelta(hours=1),
    "change_email": timedelta(hours=1),
    "second_factor": timedelta(minutes=10),
    "passkey": timedelta(minutes=5),
    "saml_request": timedelta(minutes=30),
    "saml_answer": timedelta(minutes=2),
}
KEPT = timedelta(days=1)


def issue(
    session: Session,
    purpose: str,
    *,
    user: User | None = None,
    email: str | None = None,
    details: dict[str, Any] | None = None,
) -> str:
    """A new token for *purpose*. Rows long expired are removed on the way."""
    now = datetime.now(UTC)
    session.execute(delete(OneTimeToken).where(OneTimeToken.expires_at < now - KEPT))
    token = secrets.token_urlsafe(32)
    session.add(
        OneTimeToken(
            id=uuid.uuid4(),
            purpose=purpose,
            token_hash=digest(token),
            user_id=user.id if user else None,
            email=email,
            details=details or {},
            expires_at=now + LIFETIMES[purpose],
        )
    )
    session.flush()
    return token


def look(session: Session, purpose: str, token: str) -> OneTimeToken:
    """The token's row, which stays usable: opening a link must not use it up. Raises LinkNotValid."""
    query = select(OneTimeToken).where(
        OneTimeToken.purpose == purpose,
        OneTimeToken.token_hash == digest(token),
        OneTimeToken.used_at.is_(None),
        OneTimeToken.expires_at > datetime.now(UTC),
    )
    found = session.scalar(query)
    if found is None or (found.user is not None and found.user.state != "active"):
        raise LinkNotValid
    return found


def use(session: Session, purpose: str, token: str) -> OneTimeToken:
    """The token's row, used up: of two requests at once one gets it. Raises LinkNotValid."""
    found = look(session, purpose, token)
    marked = session.execute(
        update(OneTimeToken)
        .where(OneTimeToken.id == found.id, OneTimeToken.used_at.is_(None))
        .values(used_at=datetime.now(UTC))
        .returning(OneTimeToken.id)
    ).first()
    if marked is None:
        raise LinkNotValid
    return found


def end_all(session: Session, user: User, *purposes: str) -> None:
    """No open token of these purposes works for *user* any more."""
    session.execute(
        update(OneTimeToken)
        .where(OneTimeToken.user_id == user.id, OneTimeToken.purpose.in_(purposes), OneTimeToken.used_at.is_(None))
        .values(used_at=datetime.now(UTC))
    )
