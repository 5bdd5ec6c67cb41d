"""Stripe, as far as DBHost needs it. The only importer of `stripe`; `STRIPE_API_BASE` points it at a stand-in."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

TOLERANCE_S = 300
TIMEOUT_S = 10.0
RETRIES = 2
CURRENCY = "usd"

log = structlog.get_logger(__name__)


class StripeUnavailable(Exception):
    """Stripe cannot be reached, or refused what we asked; logged here, without what it said in words."""


class ForgedEvent(Exception):
    """The body was not signed with our secret, was changed, or is older or newer than the tolerance."""


@dataclass(frozen=True)
class RemoteSubscription:
    """A subscription as Stripe has it now. `plan` is what we wrote beside it when it was made or changed."""

    id: str
    customer_id: str
    status: str
    price_id: str | None
    plan: str | None
    item_id: str | None
    period_ends_at: datetime | None
    ends_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Event:
    """A signed event: what it is about, and nothing of what it says, which may be old."""

    id: str
    type: str
    created_at: datetime
    customer_id: str | None
    subscription_id: str | None


@dataclass(frozen=True)
class PlanPrice:
    """What a plan costs: a price that was made at Stripe, or the amount to make one from."""

    plan: str
    title: str
    amount_cents: int
    price_id: str | None


class Stripe:
    """One Stripe account, by its secret key."""

    def __init__(self, api_key: str, api_base: str | None = None) -> None:
        import stripe  # here and below: 30 MB and a sixth of a second for those with billing alone

        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base.rstrip("/")} if api_base else {},
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
        )

    def create_customer(self, email: str, user_id: str) -> str:
        """A new customer's id."""
        made = _asked(lambda: self._client.v1.customers.create({"email": email, "metadata": {"user_id": user_id}}))
        return str(made["id"])

    def checkout(self, customer_id: str, price: PlanPrice, *, user_id: str, success_url: str, cancel_url: str) -> str:
        """The address of a page where the customer pays for *price* each month."""
        what: dict[str, Any] = {"price": price.price_id} if price.price_id else {"price_data": _price_data(price)}
        parameters: Any = {
            "mode": "subscription",
            "customer": customer_id,
            "client_reference_id": user_id,
            "line_items": [{**what, "quantity": 1}],
            "subscription_data": {"metadata": {"plan": price.plan, "user_id": user_id}},
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        return str(_asked(lambda: self._client.v1.checkout.sessions.create(parameters))["url"])

    def checkout_result(self, session_id: str) -> tuple[str | None, str | None]:
        """The customer and the subscription of a Checkout Session; the latter only when it was paid."""
        found = _asked(lambda: self._client.v1.checkout.sessions.retrieve(session_id))
        return _id(found.get("customer")), _id(found.get("subscription"))

    def portal(self, customer_id: str, return_url: str) -> str:
        """The address of a page where the customer changes the card, sees invoices, cancels."""
        parameters: Any = {"customer": customer_id, "return_url": return_url}
        return str(_asked(lambda: self._client.v1.billing_portal.sessions.create(parameters))["url"])

    def subscription(self, subscription_id: str) -> RemoteSubscription:
        """The subscription as it is now."""
        return _subscription(_asked(lambda: self._client.v1.subscriptions.retrieve(subscription_id)))

    def change_plan(self, current: RemoteSubscription, price: PlanPrice) -> RemoteSubscription:
        """Charge for *price* from now on, the difference pro rata; a planned cancel is taken back."""
        price_id = price.price_id or self._make_price(price)
        parameters: Any = {
            "items": [{"id": current.item_id, "price": price_id}],
            "metadata": {"plan": price.plan},
            "proration_behavior": "create_prorations",
            "cancel_at_period_end": False,
        }
        return _subscription(_asked(lambda: self._client.v1.subscriptions.update(current.id, parameters)))

    def cancel_at_period_end(self, subscription_id: str) -> RemoteSubscription:
        """Let the subscription run out."""
        parameters: Any = {"cancel_at_period_end": True}
        return _subscription(_asked(lambda: self._client.v1.subscriptions.update(subscription_id, parameters)))

    def _make_price(self, price: PlanPrice) -> str:
        parameters: Any = _price_data(price)
        return str(_asked(lambda: self._client.v1.prices.create(parameters))["id"])


def read_event(payload: bytes, header: str | None, secret: str) -> Event:
    """Check the signature over the raw body, then read it. Raises ForgedEvent."""
    import stripe

    try:
        stripe.WebhookSignature.verify_header(payload, header, secret, TOLERANCE_S)
        event = json.loads(payload)
        created = datetime.fromtimestamp(event["created"], UTC)
        about = event["data"]["object"]
        read = Event(str(event["id"]), str(event["type"]), created, _customer_of(about), _subscription_of(about))
    except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ForgedEvent(type(error).__name__) from None
    _refuse_the_future(header or "")
    return read


def _refuse_the_future(header: str) -> None:
    """Stripe's library refuses what is too old; a time to come would let a copy be used until then."""
    signed_at = next(int(part[2:]) for part in header.split(",") if part.startswith("t="))
    if signed_at > time.time() + TOLERANCE_S:
        raise ForgedEvent("signed in the future")


def _asked(call: Callable[[], Any]) -> dict[str, Any]:
    """The answer as plain values; Stripe's objects are no dicts. Its words may name keys and people: not logged."""
    import stripe

    try:
        answer: dict[str, Any] = call().to_dict()
    except stripe.StripeError as error:
        log.warning("stripe_failed", error=type(error).__name__, code=error.code, stripe_request_id=error.request_id)
        raise StripeUnavailable(type(error).__name__) from None
    return answer


def _price_data(price: PlanPrice) -> dict[str, Any]:
    return {
        "currency": CURRENCY,
        "unit_amount": price.amount_cents,
        "recurring": {"interval": "month"},
        "product_data": {"name": f"DBHost {price.title}"},
    }


def _subscription(found: dict[str, Any]) -> RemoteSubscription:
    """Read what Stripe answered; the period stands at the item since 2025, and at the subscription before."""
    items = (found.get("items") or {}).get("data") or [{}]
    item = items[0]
    period_ends_at = _time(item.get("current_period_end") or found.get("current_period_end"))
    at_period_end = period_ends_at if found.get("cancel_at_period_end") else None
    return RemoteSubscription(
        id=str(found["id"]),
        customer_id=_id(found.get("customer")) or "",
        status=str(found["status"]),
        price_id=_id(item.get("price")),
        plan=(found.get("metadata") or {}).get("plan"),
        item_id=item.get("id"),
        period_ends_at=period_ends_at,
        ends_at=_time(found.get("cancel_at")) or at_period_end,
        created_at=_time(found.get("created")) or datetime.now(UTC),
    )


def _customer_of(about: dict[str, Any]) -> str | None:
    return _id(about.get("id")) if about.get("object") == "customer" else _id(about.get("customer"))


def _subscription_of(about: dict[str, Any]) -> str | None:
    """The subscription that an event's object is or belongs to; invoices name theirs at `parent` since 2025."""
    if about.get("object") == "subscription":
        return _id(about.get("id"))
    parent = (about.get("parent") or {}).get("subscription_details") or {}
    return _id(about.get("subscription")) or _id(parent.get("subscription"))


def _id(value: Any) -> str | None:
    """The id of a thing that Stripe names by its id, or gives whole."""
    if isinstance(value, dict):
        value = value.get("id")
    return str(value) if value else None


def _time(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None
