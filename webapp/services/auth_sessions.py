"""Signed-in browsers: server-side rows, so that each can be revoked at once."""

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.db import give_back
from webapp.models import AuthSession, User
from webapp.services import audit, users
from webapp.services.actors import Actor
from webapp.services.digests import digest
from webapp.services.errors import NotFound, SignInFailed
from webapp.services.guards import mark_authorized
from webapp.services.passwords import matches

SEEN_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class SignedIn:
    """A new session and its token, which exists only here and in the browser's cookie."""

    auth_session: AuthSession
    token: str = field(repr=False)


def check_password(session: Session, email: str, password: str) -> User:
    """The active user with this password. Raises SignInFailed, always with the same words and in the same time."""
    mark_authorized()
    user = users.by_email(session, email)
    give_back(session)
    if not matches(user.password_hash if user else None, password) or user is None or user.state != "active":
        raise SignInFailed("The e-mail or the password is wrong.")
    return user


def start(
    session: Session, user: User, *, ip: str | None, user_agent: str | None, method: str = "password"
) -> SignedIn:
    """A new session of a user who has proven who they are by *method*."""
    mark_authorized()
    token = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    auth_session = AuthSession(
        id=uuid.uuid4(),
        user_id=user.id,
        user=user,
        token_hash=digest(token),
        created_at=now,
        last_seen_at=now,
        confirmed_at=now,
        expires_at=now + timedelta(days=settings().session_lifetime_days),
        ip=ip,
        user_agent=(user_agent or "")[:300] or None,
    )
    session.add(auth_session)
    audit.record(session, Actor("user", user, ip=ip), "user.sign_in", user.email, details={"method": method})
    return SignedIn(auth_session, token)


def is_recent(auth_session: AuthSession) -> bool:
    """Whether the person has proven who they are lately enough for a dangerous change."""
    return datetime.now(UTC) - auth_session.confirmed_at <= timedelta(seconds=settings().recent_sign_in_s)


def confirm(session: Session, actor: Actor, auth_session: AuthSession, method: str) -> None:
    """The person of this session has proven again who they are; the caller has checked it."""
    mark_authorized()
    auth_session.confirmed_at = datetime.now(UTC)
    audit.record(session, actor, "user.confirm", auth_session.user.email, details={"method": method})


def find(session: Session, token: str) -> AuthSession | None:
    """The live session of *token*, or None when it is unknown, expired, revoked or its user banned."""
    auth_session = session.scalar(select(AuthSession).where(AuthSession.token_hash == digest(token)))
    now = datetime.now(UTC)
    if auth_session is None or not is_live(auth_session):
        return None
    if now - auth_session.last_seen_at > SEEN_EVERY:
        auth_session.last_seen_at = now
    return auth_session


def is_live(auth_session: AuthSession) -> bool:
    """Whether it counts now: neither over nor revoked, its user not banned, and who looks as somebody an admin."""
    if auth_session.revoked_at or auth_session.expires_at <= datetime.now(UTC):
        return False
    return auth_session.user.state == "active" and (auth_session.viewing is None or auth_session.user.is_admin)


def list_sessions(session: Session, user: User) -> list[AuthSession]:
    """The user's live sessions, the one used last first."""
    mark_authorized()
    query = select(AuthSession).where(
        AuthSession.user_id == user.id, AuthSession.revoked_at.is_(None), AuthSession.expires_at > datetime.now(UTC)
    )
    return list(session.scalars(query.order_by(AuthSession.last_seen_at.desc())))


def revoke(session: Session, actor: Actor, auth_session_id: uuid.UUID) -> AuthSession:
    """End one of the actor's own sessions at once. Raises NotFound."""
    mark_authorized()
    auth_session = session.get(AuthSession, auth_session_id)
    if auth_session is None or actor.user is None or auth_session.user_id != actor.user.id:
        raise NotFound("There is no such session.")
    auth_session.revoked_at = auth_session.revoked_at or datetime.now(UTC)
    audit.record(session, actor, "user.revoke_session", actor.user.email)
    return auth_session


def revoke_others(session: Session, actor: Actor, keep: AuthSession) -> int:
    """End all of the user's sessions but *keep*; returns how many."""
    mark_authorized()
    ended = session.scalars(
        update(AuthSession)
        .where(AuthSession.user_id == keep.user_id, AuthSession.id != keep.id, AuthSession.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .returning(AuthSession.id)
    ).all()
    audit.record(session, actor, "user.revoke_other_sessions", keep.user.email, details={"count": len(ended)})
    return len(ended)


def revoke_all(session: Session, user: User) -> int:
    """End every session of *user*; returns how many. The caller records why."""
    ended = session.scalars(
        update(AuthSession)
        .where(AuthSession.user_id == user.id, AuthSession.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .returning(AuthSession.id)
    ).all()
    return len(ended)
