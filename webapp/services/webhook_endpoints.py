"""What a user does with webhook endpoints and with the messages that went to them. docs/webhooks.md."""

import uuid
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways import addresses
from webapp.models import User, WebhookDelivery, WebhookEndpoint
from webapp.services import access, audit, users, webhook_deliveries, webhook_secrets, webhooks
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, ValidationFailed, WebhookNotFound
from webapp.services.guards import mark_authorized
from webapp.services.paging import Page, paginate

MAX_ENDPOINTS = 10
OF_ADMINS = ("host.unhealthy",)


@dataclass(frozen=True)
class NewSecret:
    """An endpoint with a secret just made, which is never shown again."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


def events_for(user: User) -> dict[str, str]:
    """What this user's endpoints can be told of, in the words of the settings page."""
    return {event: words for event, words in webhooks.EVENTS.items() if user.is_admin or event not in OF_ADMINS}


def list_endpoints(session: Session, actor: Actor) -> list[WebhookEndpoint]:
    """The actor's own endpoints, the oldest first."""
    owner = _owner(actor)
    query = select(WebhookEndpoint).where(WebhookEndpoint.user_id == owner.id)
    return list(session.scalars(query.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)).unique())


def find_endpoint(session: Session, actor: Actor, endpoint_id: uuid.UUID) -> WebhookEndpoint:
    """One of the actor's own endpoints. Raises WebhookNotFound or KeyScopeDenied."""
    owner = _owner(actor)
    endpoint = session.get(WebhookEndpoint, endpoint_id)
    if endpoint is None or endpoint.user_id != owner.id:
        raise WebhookNotFound
    return endpoint


def create_endpoint(session: Session, actor: Actor, url: str, events: list[str]) -> NewSecret:
    """Add an endpoint and its secret, which is shown this once.

    Raises ValidationFailed, or Conflict when there are enough.
    """
    owner = users.lock(session, _owner(actor).id)
    number = session.scalar(select(func.count()).where(WebhookEndpoint.user_id == owner.id)) or 0
    if number >= MAX_ENDPOINTS:
        raise Conflict(f"You have {MAX_ENDPOINTS} endpoints already. Delete one first.")
    endpoint = WebhookEndpoint(
        id=uuid.uuid4(), user_id=owner.id, user=owner, url=check_url(url), events=_check_events(owner, events)
    )
    secret = webhook_secrets.new_secret()
    endpoint.secret_encrypted = webhook_secrets.seal(endpoint.id, secret)
    session.add(endpoint)
    session.flush()
    audit.record(session, actor, "webhook.create", endpoint.url, details={"events": endpoint.events})
    return NewSecret(endpoint, secret)


def change_endpoint(
    session: Session,
    actor: Actor,
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    events: list[str] | None = None,
) -> None:
    """Send elsewhere, or tell of other events; what is None stays. Raises ValidationFailed."""
    before = {"url": endpoint.url, "events": endpoint.events}
    endpoint.url = endpoint.url if url is None else check_url(url)
    endpoint.events = endpoint.events if events is None else _check_events(endpoint.user, events)
    details = {"before": before, "events": endpoint.events}
    audit.record(session, actor, "webhook.update", endpoint.url, details=details)


def set_state(session: Session, actor: Actor, endpoint: WebhookEndpoint, state: str) -> None:
    """Disable an endpoint, or enable it again: then what waits is sent at once, after any rest too."""
    if state == "active":
        webhook_deliveries.resume(session, endpoint)
        webhooks.ring(session)
    else:
        endpoint.state, endpoint.disabled_reason = "disabled", None
    audit.record(session, actor, "webhook.enable" if state == "active" else "webhook.disable", endpoint.url)


def rotate_secret(session: Session, actor: Actor, endpoint: WebhookEndpoint, *, keep_old: bool = True) -> NewSecret:
    """Another secret, shown this once; the old one signs too for a day, unless it has to end at once."""
    secret = webhook_secrets.rotate(endpoint, keep_old=keep_old)
    audit.record(session, actor, "webhook.rotate_secret", endpoint.url, details={"old_ends_at_once": not keep_old})
    return NewSecret(endpoint, secret)


def delete_endpoint(session: Session, actor: Actor, endpoint: WebhookEndpoint) -> None:
    """Remove an endpoint with its log and with what waits for it."""
    audit.record(session, actor, "webhook.delete", endpoint.url)
    session.delete(endpoint)


def send_test(session: Session, actor: Actor, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Queue an event that says nothing. It is tried once. Raises Conflict when the endpoint is disabled."""
    _require_active(endpoint)
    data = {"message": "A test from DBHost. Nothing has happened."}
    [delivery] = webhooks.queue(session, [endpoint], webhooks.TEST_EVENT, data)
    session.flush()
    audit.record(session, actor, "webhook.test", endpoint.url)
    return delivery


def list_deliveries(
    session: Session, endpoint: WebhookEndpoint, *, page: int = 1, limit: int = 20
) -> Page[WebhookDelivery]:
    """The messages of an endpoint, newest first; the caller has found the endpoint."""
    query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id)
    newest = query.order_by(WebhookDelivery.created_at.desc(), WebhookDelivery.id)
    return paginate(session, newest, page=page, limit=limit)


def find_delivery(session: Session, endpoint: WebhookEndpoint, delivery_id: uuid.UUID) -> WebhookDelivery:
    """One message of this endpoint. Raises WebhookNotFound."""
    delivery = session.get(WebhookDelivery, delivery_id)
    if delivery is None or delivery.endpoint_id != endpoint.id:
        raise WebhookNotFound("There is no such message.")
    return delivery


def resend(session: Session, actor: Actor, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> WebhookDelivery:
    """Send a message now: one that waits is not waited for, one that ended goes once more, under the same id.

    Raises Conflict when the endpoint is disabled.
    """
    _require_active(endpoint)
    endpoint.rests_until = None
    if delivery.state == "queued":
        delivery.next_attempt_at = func.now()
        again = delivery
    else:
        again = WebhookDelivery(
            id=uuid.uuid4(), endpoint_id=endpoint.id, message_id=delivery.message_id, event=delivery.event,
            payload=delivery.payload,
        )  # fmt: skip
        session.add(again)
    session.flush()
    webhooks.ring(session)
    audit.record(session, actor, "webhook.resend", endpoint.url, details={"message": delivery.message_id})
    return again


def check_url(url: str) -> str:
    """Raises ValidationFailed for an address to which nothing is ever sent."""
    trimmed = url.strip()
    try:
        addresses.check(trimmed, allow_private=settings().webhooks_allow_private)
    except addresses.AddressRefused as error:
        raise ValidationFailed("The address is not allowed.", errors={"url": [str(error)]}) from None
    return trimmed


def _check_events(user: User, events: list[str]) -> list[str]:
    known = events_for(user)
    unknown = sorted(set(events) - set(known))
    if unknown or not events:
        message = f"No such event: {', '.join(unknown)}." if unknown else "Choose at least one event."
        raise ValidationFailed("The list of events is not right.", errors={"events": [message]})
    return [event for event in known if event in events]


def _require_active(endpoint: WebhookEndpoint) -> None:
    if endpoint.state != "active":
        raise Conflict("This endpoint is disabled. Enable it first.")


def _owner(actor: Actor) -> User:
    """Whose endpoints these are: everybody's own, a selected key's none. Raises WebhookNotFound or KeyScopeDenied."""
    mark_authorized()
    access.require_full_account(actor)
    if actor.user is None:
        raise WebhookNotFound
    return actor.user
