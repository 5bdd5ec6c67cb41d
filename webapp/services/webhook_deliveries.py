"""Messages on their way: who is next, what is sent, and what follows from the answer. docs/webhooks.md."""

import json
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from webapp.gateways.outgoing import Answer
from webapp.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from webapp.services import audit, mails, outbox, webhook_secrets
from webapp.services.actors import SYSTEM
from webapp.services.vault import VaultError
from webapp.services.webhooks import TEST_EVENT

# After the first, second, … failure; about 28 hours in all, each longer by up to a tenth.
PAUSES_S = (5, 60, 300, 1800, 7200, 18000, 36000, 36000)
JITTER = 0.1
# Longer than a try can take, the DNS included: who holds it when it is over has died.
LEASE = timedelta(minutes=2)
USERS_SHARE = 2
LONGEST_REST_S = 300
GIVE_UP_AFTER = timedelta(days=1)
KEEP = timedelta(days=30)
GONE = 410

CLAIMING = text("SELECT pg_advisory_xact_lock(hashtext('dbhost webhooks'))")
# One message at a time to an endpoint, and to no more than a few endpoints of one user: whoever does not answer
# keeps nobody else waiting. Who was tried longest ago comes first.
NEXT = text("""
    SELECT e.id FROM webhook_endpoints e JOIN users u ON u.id = e.user_id
    WHERE e.state = 'active' AND u.state = 'active'
        AND coalesce(e.leased_until, '-infinity') < now() AND coalesce(e.rests_until, '-infinity') <= now()
        AND EXISTS (
            SELECT FROM webhook_deliveries d
            WHERE d.endpoint_id = e.id AND d.state = 'queued' AND d.next_attempt_at <= now())
        AND (
            SELECT count(*) FROM webhook_endpoints o
            WHERE o.user_id = e.user_id AND o.leased_until >= now()) < :share
    ORDER BY e.tried_at NULLS FIRST LIMIT 1 FOR UPDATE OF e SKIP LOCKED
""")


@dataclass(frozen=True)
class Parcel:
    """One try: where to, what, and the fence under which its end is written. Without a secret it cannot be sent."""

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    attempt: int
    url: str
    message_id: str
    body: bytes = field(repr=False)
    secrets: list[str] = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Signed for now; the id is the same in every try, so that receivers can drop doubles."""
        signed = webhook_secrets.signed_headers(self.message_id, self.body, self.secrets, datetime.now(UTC))
        return signed | {"Content-Type": "application/json", "User-Agent": "DBHost-Webhooks/1", "Connection": "close"}


def take(session: Session) -> Parcel | None:
    """Lease the next endpoint and the oldest message that is due there. The caller commits before it sends."""
    session.execute(CLAIMING)
    endpoint_id = session.scalar(NEXT, {"share": USERS_SHARE})
    if endpoint_id is None:
        return None
    endpoint = session.get_one(WebhookEndpoint, endpoint_id, populate_existing=True)
    due = select(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.state == "queued",
        WebhookDelivery.next_attempt_at <= func.now(),
    )  # fmt: skip
    delivery = session.scalars(due.order_by(WebhookDelivery.created_at, WebhookDelivery.id).limit(1)).unique().one()
    endpoint.leased_until = func.now() + LEASE
    endpoint.tried_at = func.now()
    delivery.attempt += 1
    body = json.dumps(delivery.payload, separators=(",", ":"), ensure_ascii=False).encode()
    return Parcel(
        delivery.id, endpoint.id, delivery.attempt, endpoint.url, delivery.message_id, body, _secrets(endpoint)
    )  # fmt: skip


def finish(session: Session, parcel: Parcel, answer: Answer) -> bool:
    """Write how a try ended and let the endpoint go. False, with nothing written, if it was taken over meanwhile."""
    found = select(WebhookDelivery).where(
        WebhookDelivery.id == parcel.delivery_id, WebhookDelivery.attempt == parcel.attempt,
        WebhookDelivery.state == "queued",
    )  # fmt: skip
    # The endpoint first, as whoever claims does.
    locked = select(WebhookEndpoint).where(WebhookEndpoint.id == parcel.endpoint_id).with_for_update(of=WebhookEndpoint)
    endpoint = session.scalar(locked.execution_options(populate_existing=True))
    delivery = session.scalars(found.execution_options(populate_existing=True)).unique().one_or_none()
    if endpoint is None or delivery is None:
        return False
    _log(session, delivery, answer)
    endpoint.leased_until = None
    if answer.is_success:
        delivery.state, delivery.ended_at = "succeeded", func.now()
        endpoint.failures, endpoint.failing_since, endpoint.rests_until = 0, None, None
    else:
        _failed(session, endpoint, delivery, answer)
    return True


def forget(session: Session) -> None:
    """Remove what ended long ago from the log. The caller commits; what is left comes next time."""
    session.execute(
        text("""
            DELETE FROM webhook_deliveries WHERE id IN (
                SELECT id FROM webhook_deliveries
                WHERE created_at < now() - CAST(:keep AS interval) AND state <> 'queued' LIMIT 5000)
        """),
        {"keep": KEEP},
    )


def pause_s(attempt: int) -> float:
    """How long to wait after this many tries, a little different each time so that not all come back at once."""
    return PAUSES_S[attempt - 1] * random.SystemRandom().uniform(1, 1 + JITTER)


def resume(session: Session, endpoint: WebhookEndpoint) -> None:
    """Let an endpoint that was disabled have what waits for it, at once."""
    endpoint.state, endpoint.disabled_reason = "active", None
    endpoint.failures, endpoint.failing_since, endpoint.rests_until = 0, None, None
    waiting = WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.state == "queued"
    session.execute(update(WebhookDelivery).where(*waiting).values(next_attempt_at=func.now()))


def _secrets(endpoint: WebhookEndpoint) -> list[str]:
    """None when the key is gone that encrypted them: that is this endpoint's trouble alone."""
    try:
        return webhook_secrets.opened(endpoint, datetime.now(UTC))
    except VaultError:
        return []


def _log(session: Session, delivery: WebhookDelivery, answer: Answer) -> None:
    values = {"status_code": answer.status_code, "error": answer.error, "took_ms": answer.took_ms}
    session.add(WebhookAttempt(delivery_id=delivery.id, number=delivery.attempt, response=answer.body, **values))
    delivery.status_code, delivery.error, delivery.took_ms = answer.status_code, answer.error, answer.took_ms
    delivery.attempted_at = func.now()


def _failed(session: Session, endpoint: WebhookEndpoint, delivery: WebhookDelivery, answer: Answer) -> None:
    """Try later or give up; an endpoint that has taken nothing for a day, or says that it is gone, is disabled."""
    now = datetime.now(UTC)
    endpoint.failures += 1
    endpoint.failing_since = endpoint.failing_since or now
    endpoint.rests_until = now + timedelta(seconds=min(2**endpoint.failures, LONGEST_REST_S))
    is_last = delivery.attempt > len(PAUSES_S) or delivery.event == TEST_EVENT or answer.status_code == GONE
    if not is_last:
        delivery.next_attempt_at = now + timedelta(seconds=pause_s(delivery.attempt))
        return
    delivery.state, delivery.ended_at = "failed", func.now()
    if delivery.event != TEST_EVENT and (answer.status_code == GONE or now - endpoint.failing_since >= GIVE_UP_AFTER):
        _disable(session, endpoint, answer.error or "No answer.")


def _disable(session: Session, endpoint: WebhookEndpoint, reason: str) -> None:
    endpoint.state, endpoint.disabled_reason = "disabled", reason
    audit.record(session, SYSTEM, "webhook.disable", endpoint.url, details={"reason": reason})
    outbox.queue(session, mails.webhook_disabled(endpoint.user.email, endpoint.url, reason))
