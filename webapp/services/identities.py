"""Signing in by an identity provider: a person is (issuer, subject) there, and their account follows the address.

An address counts only when the issuer is trusted to verify it and says that it did.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.models import Identity, User
from webapp.services import audit, auth_sessions, users
from webapp.services.actors import Actor
from webapp.services.errors import AddressNotVerified, Conflict, NotAllowed, NotFound, SignInFailed, ValidationFailed
from webapp.services.guards import mark_authorized


@dataclass(frozen=True)
class Claims:
    """What a provider says about somebody. `verified`: it is trusted to verify addresses, and did verify this one."""

    issuer: str
    subject: str
    email: str | None
    verified: bool
    may_sign_up: bool


def sign_in(session: Session, actor: Actor, claims: Claims) -> User:
    """The user of these claims: known by the subject, else by the verified address, else new where that is allowed.

    Raises SignInFailed (banned), AddressNotVerified, NotAllowed (no account, and none may be made) or Conflict.
    """
    mark_authorized()
    known = find(session, claims.issuer, claims.subject)
    if known is not None:
        known.last_used_at, known.email = datetime.now(UTC), claims.email or known.email
        return _active(known.user)
    if not claims.email or not claims.verified:
        raise AddressNotVerified("The provider does not vouch for the address.")
    user = users.by_email(session, claims.email)
    if user is None:
        return _sign_up(session, actor, claims)
    _follow_address(session, actor, _active(user), claims)
    return user


def find(session: Session, issuer: str, subject: str) -> Identity | None:
    """Whose subject of this issuer it is."""
    return session.scalar(select(Identity).where(Identity.issuer == issuer, Identity.subject == subject))


def link(session: Session, actor: Actor, user: User, claims: Claims) -> Identity:
    """Let a signed-in user come in by this identity from now on. Raises Conflict when it is another user's."""
    mark_authorized()
    known = find(session, claims.issuer, claims.subject)
    if known is not None:
        if known.user_id != user.id:
            raise Conflict("This identity belongs to another account.")
        audit.record(session, actor, "user.link_identity", user.email, details={"issuer": claims.issuer, "again": True})
        return known
    return _add(session, actor, user, claims)


def list_identities(session: Session, user: User) -> list[Identity]:
    """The user's identities, the oldest first."""
    mark_authorized()
    return list(session.scalars(select(Identity).where(Identity.user_id == user.id).order_by(Identity.created_at)))


def unlink(session: Session, actor: Actor, user: User, identity_id: uuid.UUID) -> Identity:
    """Take one of the user's own identities away, but never the last way in. Raises NotFound or Conflict."""
    mark_authorized()
    identity = session.get(Identity, identity_id)
    if identity is None or identity.user_id != user.id:
        raise NotFound("There is no such identity.")
    if user.password_hash is None and len(list_identities(session, user)) == 1:
        raise Conflict("This is your only way in. Set a password first.")
    session.delete(identity)
    audit.record(session, actor, "user.unlink_identity", user.email, details={"issuer": identity.issuer})
    return identity


def _follow_address(session: Session, actor: Actor, user: User, claims: Claims) -> None:
    """Link a new subject with a known verified address.

    One that the same issuer gave the user before is no longer theirs: the issuer says who has the address now. Its
    sessions end with it, since an address may have been given to somebody else.
    """
    same_issuer = delete(Identity).where(Identity.user_id == user.id, Identity.issuer == claims.issuer)
    if session.scalars(same_issuer.returning(Identity.id)).all():
        auth_sessions.revoke_all(session, user)
    _add(session, actor, user, claims)


def _sign_up(session: Session, actor: Actor, claims: Claims) -> User:
    if not claims.may_sign_up:
        raise NotAllowed("There is no account with this address, and none may be made. Ask for an invitation.")
    try:
        user = users.create_user(session, actor, claims.email or "")
    except ValidationFailed:
        raise AddressNotVerified("The provider gave no address that can be used.") from None
    _add(session, actor, user, claims)
    return user


def _add(session: Session, actor: Actor, user: User, claims: Claims) -> Identity:
    identity = Identity(
        id=uuid.uuid4(), user=user, user_id=user.id, issuer=claims.issuer, subject=claims.subject, email=claims.email,
        last_used_at=datetime.now(UTC),
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(identity)
    except IntegrityError:
        raise Conflict("This identity was linked at the same moment. Try again.") from None
    audit.record(session, actor, "user.link_identity", user.email, details={"issuer": claims.issuer})
    return identity


def _active(user: User) -> User:
    if user.state != "active":
        raise SignInFailed("This account cannot sign in.")
    return user
