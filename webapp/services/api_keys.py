"""API keys: `dbh_` and a random secret, shown once; only prefix and SHA-256 are kept."""

import secrets
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import ApiKey, ApiKeyDatabase, Database, User
from webapp.services import audit, plans
from webapp.services.actors import Actor
from webapp.services.digests import digest
from webapp.services.errors import InvalidRequest, NotFound, Unauthorized, ValidationFailed
from webapp.services.guards import mark_authorized
from webapp.services.names import is_label

MARK = "dbh_"
PREFIX_LENGTH = len(MARK) + 8
MAX_DAYS = 3650
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class NewKey:
    """A key just made, with the secret that is never shown again."""

    api_key: ApiKey
    secret: str = field(repr=False)


def create_key(
    session: Session,
    actor: Actor,
    owner: User,
    *,
    label: str = "default",
    scope: str = "full",
    databases: list[str] | None = None,
    days: int | None = None,
) -> NewKey:
    """Make a key for *owner* that ends after *days*, or never by itself.

    Raises ApiNotInPlan or ValidationFailed (label, scope, unknown database names, days).
    """
    mark_authorized()
    plans.require_api(owner)
    label = _check_label(label)
    chosen = _selected(session, owner, scope, databases or [])
    lifetime = _lifetime(days)
    secret = MARK + secrets.token_urlsafe(32)
    api_key = ApiKey(
        id=uuid.uuid4(), user_id=owner.id, user=owner, label=label, scope=scope, prefix=secret[:PREFIX_LENGTH],
        secret_hash=digest(secret), expires_at=datetime.now(UTC) + lifetime if lifetime else None,
        databases=[ApiKeyDatabase(database_id=database.id) for database in chosen],
    )  # fmt: skip
    session.add(api_key)
    session.flush()
    audit.record(
        session, actor, "api_key.create", label, details={"prefix": api_key.prefix, "scope": scope, "days": days}
    )
    return NewKey(api_key, secret)


def authenticate(session: Session, secret: str, *, ip: str | None) -> ApiKey:
    """The live key of *secret*. Raises Unauthorized for any other, always with the same words."""
    api_key = session.scalar(select(ApiKey).where(ApiKey.prefix == secret[:PREFIX_LENGTH]))
    known = compare_digest(api_key.secret_hash if api_key else bytes(32), digest(secret))
    if api_key is None or not known or api_key.revoked_at or api_key.is_expired or api_key.user.state != "active":
        raise Unauthorized("The API key is not valid.")
    now = datetime.now(UTC)
    if api_key.last_used_at is None or now - api_key.last_used_at > USED_EVERY or api_key.last_used_ip != ip:
        api_key.last_used_at, api_key.last_used_ip = now, ip
    return api_key


def still(session: Session, actor: Actor) -> Actor:
    """*actor* with the key and its user as they are now, for what lasts longer than a moment. Raises Unauthorized."""
    if actor.api_key is None:
        return actor
    api_key = session.get(ApiKey, actor.api_key.id, populate_existing=True)
    if api_key is None or api_key.revoked_at or api_key.is_expired or api_key.user.state != "active":
        raise Unauthorized("The API key is not valid.")
    return replace(actor, api_key=api_key, user=api_key.user)


def list_keys(session: Session, user: User) -> list[ApiKey]:
    """The user's keys that are not revoked, newest first; those that ended by themselves too."""
    mark_authorized()
    query = select(ApiKey).where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
    return list(session.scalars(query.order_by(ApiKey.created_at.desc())))


def find_key(session: Session, user: User, prefix_or_id: str) -> ApiKey:
    """The user's key with this prefix or id. Raises NotFound."""
    for api_key in list_keys(session, user):
        if prefix_or_id in (api_key.prefix, str(api_key.id)):
            return api_key
    raise NotFound("There is no such API key.")


def revoke_key(session: Session, actor: Actor, api_key_id: uuid.UUID) -> ApiKey:
    """End one of the actor's keys at once; an operator may end anybody's. Raises NotFound."""
    mark_authorized()
    api_key = session.get(ApiKey, api_key_id)
    if api_key is None or api_key.revoked_at or (actor.user is not None and api_key.user_id != actor.user.id):
        raise NotFound("There is no such API key.")
    api_key.revoked_at = datetime.now(UTC)
    audit.record(session, actor, "api_key.revoke", api_key.label, details={"prefix": api_key.prefix})
    return api_key


def replace_key(session: Session, actor: Actor, api_key_id: uuid.UUID) -> NewKey:
    """A new secret with the same label and scope, for as long as the old one was made for; that one ends at once.

    Raises NotFound or ApiNotInPlan.
    """
    old = revoke_key(session, actor, api_key_id)
    names = list(
        session.scalars(select(Database.name).where(Database.id.in_(old.database_ids), Database.deleted_at.is_(None)))
    )
    days = round((old.expires_at - old.created_at).total_seconds() / 86400) if old.expires_at else None
    return create_key(session, actor, old.user, label=old.label, scope=old.scope, databases=names, days=days)


def _lifetime(days: int | None) -> timedelta | None:
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise ValidationFailed("The lifetime is not allowed.", errors={"days": [f"Use 1 to {MAX_DAYS} days."]})
    return timedelta(days=days) if days else None


def _check_label(label: str) -> str:
    trimmed = label.strip()
    if len(trimmed) > 60 or not is_label(trimmed):
        raise ValidationFailed("The label is not allowed.", errors={"label": ["Use 1 to 60 printable characters."]})
    return trimmed


def _selected(session: Session, owner: User, scope: str, names: list[str]) -> list[Database]:
    if scope == "full":
        if names:
            raise InvalidRequest("A full-account key takes no list of databases. Use scope 'selected'.")
        return []
    if scope != "selected":
        raise ValidationFailed("The scope is not known.", errors={"scope": ["Use 'full' or 'selected'."]})
    query = select(Database).where(
        Database.owner_id == owner.id, Database.deleted_at.is_(None), Database.name.in_(names)
    )
    found = list(session.scalars(query))
    missing = sorted(set(names) - {database.name for database in found})
    if missing or not names:
        message = f"No such database: {', '.join(missing)}." if missing else "Name at least one database."
        raise ValidationFailed("The list of databases is not right.", errors={"databases": [message]})
    return found
