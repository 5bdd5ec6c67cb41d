"""Tell users' endpoints of an event: queued in the transaction that made it happen, delivered later and signed."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import Database, Host, User, WebhookDelivery, WebhookEndpoint
from webapp.notify import CHANNEL

# What can be told, in the words of the settings page.
EVENTS = {
    "database.created": "A database was created",
    "database.deleted": "A database was deleted",
    "backup.failed": "A backup failed",
    "storage.warning": "A database reached 80 or 95 % of its plan's storage",
    "host.unhealthy": "A host is not well (platform admins)",
}
TEST_EVENT = "webhook.test"
TOPIC = "webhooks"


def publish(
    session: Session,
    event: str,
    *,
    database: Database | None = None,
    host: Host | None = None,
    details: dict[str, Any] | None = None,
) -> int:
    """Queue *event* for every endpoint that wants it, and return how many those are. The caller commits.

    A database's events go to its owner, all others to the platform admins. *details* (plain JSON values, no
    secret) are added to the message's data. Raises ValueError for an event that is not in EVENTS.
    """
    if event not in EVENTS:
        raise ValueError(f"There is no event {event}.")
    audience = User.platform_role == "admin" if database is None else User.id == database.owner_id
    query = select(WebhookEndpoint).join(User, User.id == WebhookEndpoint.user_id)
    wanted = query.where(
        audience, User.state == "active", WebhookEndpoint.state == "active", WebhookEndpoint.events.contains([event])
    )
    endpoints = list(session.scalars(wanted))
    queue(session, endpoints, event, _data(database, host) | (details or {}))
    return len(endpoints)


def queue(
    session: Session, endpoints: list[WebhookEndpoint], event: str, data: dict[str, Any]
) -> list[WebhookDelivery]:
    """One message to each of *endpoints*, and wake who delivers."""
    message_id = f"msg_{uuid.uuid4().hex}"
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    payload = {"type": event, "timestamp": at, "data": data}
    deliveries = [
        WebhookDelivery(endpoint_id=endpoint.id, message_id=message_id, event=event, payload=payload)
        for endpoint in endpoints
    ]
    session.add_all(deliveries)
    if endpoints:
        ring(session)
    return deliveries


def ring(session: Session) -> None:
    """Wake whoever sends, once the transaction is committed."""
    session.execute(select(func.dbhost_note(CHANNEL, TOPIC)))


def _data(database: Database | None, host: Host | None) -> dict[str, Any]:
    """What the message is about, named as in the REST API."""
    about: dict[str, Any] = {}
    if database is not None:
        about["database"] = {"id": str(database.id), "name": database.name, "displayName": database.display_name}
    if host is not None:
        about["host"] = {"id": str(host.id), "name": host.name}
    return about
