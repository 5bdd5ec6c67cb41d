"""Events from Stripe: signed, each once, in any order; what they say is never believed, only fetched anew."""

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways import stripe
from webapp.gateways.mail import Mail
from webapp.models import BillingEvent
from webapp.services import billing, mails, subscriptions
from webapp.services.actors import Actor
from webapp.services.errors import InvalidRequest, NotFound
from webapp.services.guards import mark_audited

# Stripe tries for three days; ids are kept for much longer.
KEEP = timedelta(days=90)
ABOUT_SUBSCRIPTIONS = ("checkout.session.", "customer.subscription.", "invoice.")

log = structlog.get_logger(__name__)


def take(session: Session, actor: Actor, payload: bytes, signature: str | None) -> Mail | None:
    """Take one event; what its user should be told by mail. The caller commits, and sends the mail afterwards: the
    event's id and its effect stand or fall together.

    Raises NotFound (billing is off), InvalidRequest (not signed by Stripe) or BillingUnavailable (fetching failed:
    nothing is kept, and Stripe sends the event again).
    """
    event = _read(payload, signature)
    # Of the change, where there is one, `subscriptions` keeps the audit event; the event's row tells of the rest.
    mark_audited()
    if not _is_new(session, event):
        return None
    if event.customer_id is None or event.subscription_id is None or not event.type.startswith(ABOUT_SUBSCRIPTIONS):
        return None
    row = subscriptions.lock_customer(session, event.customer_id)
    if row is None:
        log.warning("billing_event_of_a_stranger", event_id=event.id, type=event.type)
        return None
    with billing.reached() as gateway:
        remote = gateway.subscription(event.subscription_id)
    if remote.customer_id != row.customer_id:
        return None
    failed = subscriptions.apply(session, actor, row, remote)
    session.get_one(BillingEvent, event.id).user_id = row.user_id
    until = subscriptions.grace_ends_at(row)
    return mails.payment_failed(row.user.email, f"{until:%B %-d, %Y}") if failed else None


def forget(session: Session) -> None:
    """Remove the ids of events that cannot come again."""
    session.execute(delete(BillingEvent).where(BillingEvent.received_at < datetime.now(UTC) - KEEP))


def _read(payload: bytes, signature: str | None) -> stripe.Event:
    secret = settings().stripe_webhook_secret
    if not billing.is_on() or secret is None:
        raise NotFound("Billing is off on this installation.")
    try:
        return stripe.read_event(payload, signature, secret.get_secret_value())
    except stripe.ForgedEvent as error:
        log.warning("billing_event_refused", reason=str(error))
        raise InvalidRequest("The signature does not match.") from None


def _is_new(session: Session, event: stripe.Event) -> bool:
    """Whether this is the first time; the same event at the same time waits here until the first has committed."""
    values = {"id": event.id, "type": event.type, "created_at": event.created_at}
    statement = insert(BillingEvent).values(values).on_conflict_do_nothing().returning(BillingEvent.id)
    return session.execute(statement).first() is not None
