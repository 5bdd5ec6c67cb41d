"""Billing as people ask for it: pay for a plan, change it, look after it at Stripe. docs/billing.md"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways.stripe import PlanPrice, Stripe, StripeUnavailable
from webapp.models import Subscription, User
from webapp.services import audit, plans, subscriptions, users
from webapp.services.actors import Actor
from webapp.services.errors import BillingUnavailable, Conflict, NotFound, ValidationFailed
from webapp.services.guards import mark_authorized
from webapp.services.plans import Plan


def is_on() -> bool:
    """Whether this installation takes money."""
    return settings().stripe_api_key is not None


@lru_cache(maxsize=1)
def gateway() -> Stripe:
    """The process's way to Stripe. Raises NotFound while billing is off."""
    key = settings().stripe_api_key
    if key is None:
        raise NotFound("Billing is off on this installation.")
    return Stripe(key.get_secret_value(), settings().stripe_api_base)


@contextmanager
def reached() -> Iterator[Stripe]:
    """Stripe, for a block. Raises BillingUnavailable, with nothing changed, when it does not answer well."""
    try:
        yield gateway()
    except StripeUnavailable:
        raise BillingUnavailable("Stripe does not answer just now. Nothing was changed; try again.") from None


def for_sale() -> dict[str, Plan]:
    """The plans that can be bought, in the file's order."""
    return {name: plan for name, plan in plans.all_plans().items() if plan.price_cents_a_month}


def start_checkout(session: Session, actor: Actor, user: User, plan: str, *, success_url: str, cancel_url: str) -> str:
    """The address where *user* pays for *plan*. Nothing changes before Stripe says that it was paid.

    Raises ValidationFailed, Conflict (a subscription is live: change it instead) or BillingUnavailable.
    """
    mark_authorized()
    price = price_of(plan)
    users.lock(session, user.id)
    with reached() as stripe:
        row = subscriptions.of_user(session, user) or _new_customer(session, stripe, user)
        if row.is_live:
            raise Conflict("You have a subscription already. Change its plan instead.")
        url = stripe.checkout(
            row.customer_id, price, user_id=str(user.id), success_url=success_url, cancel_url=cancel_url
        )
    audit.record(session, actor, "billing.checkout", user.email, details={"plan": plan})
    return url


def finish_checkout(session: Session, actor: Actor, user: User, session_id: str) -> bool:
    """Back from the payment: look at Stripe whether it was paid, without waiting for its event.

    Raises NotFound for another customer's, BillingUnavailable when Stripe does not answer.
    """
    mark_authorized()
    users.lock(session, user.id)
    row = subscriptions.of_user(session, user)
    with reached() as stripe:
        customer_id, subscription_id = stripe.checkout_result(session_id)
        if row is None or customer_id != row.customer_id:
            raise NotFound("There is no such payment.")
        if subscription_id is None:
            return False
        subscriptions.apply(session, actor, row, stripe.subscription(subscription_id))
    return row.is_live


def open_portal(session: Session, actor: Actor, user: User, *, return_url: str) -> str:
    """The address of Stripe's own pages for this customer. Raises NotFound or BillingUnavailable."""
    mark_authorized()
    row = _customer(session, user)
    with reached() as stripe:
        url = stripe.portal(row.customer_id, return_url)
    audit.record(session, actor, "billing.portal", user.email)
    return url


def change_plan(session: Session, actor: Actor, user: User, plan: str) -> Subscription:
    """Charge for *plan* from now on, the difference pro rata. Nothing that is over its limits is deleted.

    Raises ValidationFailed, NotFound, Conflict or BillingUnavailable.
    """
    mark_authorized()
    price = price_of(plan)
    users.lock(session, user.id)
    row = _customer(session, user)
    if not row.is_live or row.subscription_id is None:
        raise Conflict("There is no subscription to change. Subscribe first.")
    with reached() as stripe:
        remote = stripe.change_plan(stripe.subscription(row.subscription_id), price)
    audit.record(session, actor, "billing.change_plan", user.email, details={"from": row.plan, "to": plan})
    subscriptions.apply(session, actor, row, remote)
    return row


def let_run_out(session: Session, actor: Actor, user: User) -> None:
    """Cancel at the period's end what *user* pays for, if anything; Stripe may not be asked in vain."""
    row = subscriptions.of_user(session, user)
    if row is None or not row.is_live or row.subscription_id is None or not is_on():
        return
    with reached() as stripe:
        subscriptions.apply(session, actor, row, stripe.cancel_at_period_end(row.subscription_id))


def price_of(plan: str) -> PlanPrice:
    """What *plan* costs. Raises ValidationFailed for one that is not for sale."""
    found = for_sale().get(plan)
    if found is None or not found.price_cents_a_month:
        raise ValidationFailed("This plan is not for sale.", errors={"plan": [f"Use one of {', '.join(for_sale())}."]})
    return PlanPrice(plan, found.title, found.price_cents_a_month, found.stripe_price)


def _new_customer(session: Session, stripe: Stripe, user: User) -> Subscription:
    row = Subscription(user_id=user.id, user=user, customer_id=stripe.create_customer(user.email, str(user.id)))
    session.add(row)
    session.flush()
    return row


def _customer(session: Session, user: User) -> Subscription:
    row = subscriptions.of_user(session, user)
    if row is None:
        raise NotFound("You are not a customer yet.")
    return row
