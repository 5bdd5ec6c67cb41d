"""Keeping accounts in step with an identity provider: each event once, and in whatever order they come."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways.mail import Mail
from webapp.models import Identity, SyncedUser, UserSyncEvent
from webapp.services import accounts, audit, auth_sessions, identities, mails, user_events, users
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, NotFound, ValidationFailed
from webapp.services.guards import mark_audited
from webapp.services.identities import Claims
from webapp.services.user_events import UserEvent

KEEP = timedelta(days=90)

log = structlog.get_logger(__name__)


def take(session: Session, actor: Actor, payload: bytes, headers: Mapping[str, str]) -> list[Mail]:
    """Take one event; the mails to send after the commit, with which the event's id and its effect stand or fall.

    Raises NotFound (not configured) or InvalidRequest (forged, too old, not readable).
    """
    secret = settings().user_sync_secret
    if secret is None or not secret.get_secret_value():
        raise NotFound("User sync is off on this installation.")
    parsed = user_events.verify(payload, headers, secret.get_secret_value())
    event = user_events.read(parsed)
    mark_audited()  # each change below records its own event; what changes nothing has the row in user_sync_events
    if event is None or not _is_new(session, event):
        return []
    synced = _lock(session, event)
    if synced.deleted_at is not None or event.at < synced.told_at:
        return []
    synced.told_at = event.at
    if event.type == "user.deleted":
        _delete(session, actor, synced, event)
        return []
    return _apply(session, actor, synced, event)


def issuer() -> str:
    """Whose users these are: the provider of the sign-in, unless another is named."""
    config = settings()
    return (config.user_sync_issuer or config.oidc_issuer or "user-sync").rstrip("/")


def _apply(session: Session, actor: Actor, synced: SyncedUser, event: UserEvent) -> list[Mail]:
    """Make the account what the event says: found by the subject, else by a verified address, else made."""
    email = _usable(event)
    known = identities.find(session, synced.issuer, synced.subject)
    if known is not None:
        synced.user_id = known.user_id
        return _follow(session, actor, known, email)
    if email is None:
        log.info("user_sync_without_address", subject=event.subject, type=event.type)
        return []
    if users.by_email(session, email) and event.verified is not True:
        log.warning("user_sync_address_taken", subject=event.subject)
        return []
    _welcome_back(session, actor, email, synced.issuer)
    claims = Claims(synced.issuer, synced.subject, email, verified=True, may_sign_up=True)
    user = users.by_email(session, email)
    if user is not None and user.state != "active":
        return []
    synced.user_id = identities.sign_in(session, actor, claims).id
    return []


def _follow(session: Session, actor: Actor, known: Identity, email: str | None) -> list[Mail]:
    """Give the user the address that the provider has now; the old one is told."""
    user, before = known.user, known.user.email
    if email is None or email == before:
        return []
    try:
        accounts.set_email(session, actor, user, email)
    except Conflict:
        audit.record(session, actor, "user.sync_conflict", before, details={"to": email})
        return []
    known.email = email
    return [mails.email_changed(before, email)]


def _delete(session: Session, actor: Actor, synced: SyncedUser, event: UserEvent) -> None:
    """Shut the account: no sign-in and no key. Its databases go on; what becomes of them an admin decides."""
    synced.deleted_at = event.at
    known = identities.find(session, synced.issuer, synced.subject)
    if known is None:
        return
    user = users.lock(session, known.user_id)
    session.delete(known)
    was_active = user.state == "active"
    synced.user_id = user.id if was_active else None  # who was banned here is not let in by the provider
    user.state = "banned"
    ended = auth_sessions.revoke_all(session, user)
    if was_active:
        audit.record(session, actor, "user.sync_delete", user.email, details={"sessions_ended": ended})


def _welcome_back(session: Session, actor: Actor, email: str, of: str) -> None:
    """Open an account again that was shut by the provider, when it vouches for the same address anew."""
    user = users.by_email(session, email)
    if user is None or user.state == "active":
        return
    shut = select(SyncedUser).where(
        SyncedUser.user_id == user.id, SyncedUser.issuer == of, SyncedUser.deleted_at.is_not(None)
    )
    shut_by_sync = session.scalars(shut).all()
    if not shut_by_sync:
        return
    user.state = "active"
    for row in shut_by_sync:
        row.user_id = None
    audit.record(session, actor, "user.sync_restore", user.email)


def _usable(event: UserEvent) -> str | None:
    """The event's address, unless the provider says that nobody has proven it."""
    if not event.email or event.verified is False:
        return None
    try:
        return users.check_email(event.email)
    except ValidationFailed:
        return None


def _lock(session: Session, event: UserEvent) -> SyncedUser:
    """The newest word on this user so far; two events about one user take turns."""
    values = {"issuer": issuer(), "subject": event.subject, "told_at": event.at}
    session.execute(insert(SyncedUser).values(values).on_conflict_do_nothing())
    query = select(SyncedUser).where(SyncedUser.issuer == issuer(), SyncedUser.subject == event.subject)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()


def _is_new(session: Session, event: UserEvent) -> bool:
    """Whether this is the first time; the same event at the same time waits here until the first has committed."""
    session.execute(delete(UserSyncEvent).where(UserSyncEvent.received_at < datetime.now(UTC) - KEEP))
    values = {"id": event.id, "type": event.type}
    statement = insert(UserSyncEvent).values(values).on_conflict_do_nothing().returning(UserSyncEvent.id)
    return session.execute(statement).first() is not None
