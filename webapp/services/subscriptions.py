"""What a subscription gives its user: a plan while it pays, and for the grace time after a payment failed."""

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways.stripe import RemoteSubscription
from webapp.models import Subscription, User
from webapp.models.billing import PAYS
from webapp.services import audit, plans, users
from webapp.services.actors import SYSTEM, Actor

log = structlog.get_logger(__name__)


def of_user(session: Session, user: User) -> Subscription | None:
    """The user's row, when Stripe knows them as a customer."""
    return session.get(Subscription, user.id)


def lock_customer(session: Session, customer_id: str) -> Subscription | None:
    """The row of a customer, with its user locked first, as everywhere; None for a customer who is none of ours."""
    query = select(Subscription).where(Subscription.customer_id == customer_id)
    found = session.scalar(query)
    if found is None:
        return None
    users.lock(session, found.user_id)
    session.refresh(found)
    return found


def grace_ends_at(subscription: Subscription) -> datetime | None:
    """Until when the plan stays although a payment failed; None while all is paid."""
    since = subscription.past_due_since
    return since + timedelta(days=settings().billing_grace_days) if since else None


def apply(session: Session, actor: Actor, row: Subscription, remote: RemoteSubscription) -> bool:
    """Make *row* say what Stripe says, and give or take the plan; whether a payment failed just now.

    The caller holds the user's lock, and fetched *remote* under it: so the state of a later fetch is never
    overwritten by that of an earlier one.
    """
    if row.is_live and remote.id != row.subscription_id:
        _another(session, actor, row, remote)
        return False
    before = row.subscription_id, row.status, row.plan, row.ends_at
    row.subscription_id, row.status = remote.id, remote.status
    row.plan = plan_of(remote) or row.plan
    row.period_ends_at, row.ends_at = remote.period_ends_at, remote.ends_at
    row.past_due_since = (row.past_due_since or datetime.now(UTC)) if remote.status == "past_due" else None
    row.fetched_at = datetime.now(UTC)
    _grant(session, actor, row, _earned(row))
    if before != (row.subscription_id, row.status, row.plan, row.ends_at):
        ends = row.ends_at.isoformat() if row.ends_at else None
        details = {"subscription": remote.id, "status": row.status, "plan": row.plan, "ends": ends}
        audit.record(session, actor, "subscription.update", row.user.email, details=details)
    return row.status == "past_due" and before[1] != "past_due"


def plan_of(remote: RemoteSubscription) -> str | None:
    """The plan that a subscription is for: by its price where a plan names one, else by what we wrote beside it."""
    by_price = {plan.stripe_price: name for name, plan in plans.all_plans().items() if plan.stripe_price}
    found = by_price.get(remote.price_id or "") or remote.plan
    if found not in plans.all_plans():
        log.error("subscription_without_plan", subscription_id=remote.id, price_id=remote.price_id)
        return None
    return found


def end_grace(session: Session) -> int:
    """Take the plan from everybody whose payment failed longer ago than the grace time. The caller commits."""
    long_ago = datetime.now(UTC) - timedelta(days=settings().billing_grace_days)
    late = select(Subscription.user_id).where(
        Subscription.past_due_since <= long_ago, Subscription.granted_plan.is_not(None)
    )
    ended = 0
    for user_id in session.scalars(late).all():
        users.lock(session, user_id)
        row = session.get_one(Subscription, user_id, populate_existing=True)
        if _earned(row) is None and row.granted_plan is not None:
            _grant(session, SYSTEM, row, None)
            ended += 1
    return ended


def _earned(row: Subscription) -> str | None:
    """The plan that the subscription gives now."""
    ends_at = grace_ends_at(row)
    in_time = ends_at is None or datetime.now(UTC) < ends_at
    return row.plan if row.status in PAYS and in_time else None


def _grant(session: Session, actor: Actor, row: Subscription, plan: str | None) -> None:
    """Give *plan*, or take back what was given. A plan that an admin gave stays: it is not the subscription's."""
    user, default = row.user, settings().plan
    if user.plan == (row.granted_plan or default) and user.plan != (plan or default):
        details = {"from": user.plan, "to": plan or default, "by": "subscription"}
        user.plan = plan or default
        audit.record(session, actor, "user.change_plan", user.email, details=details)
    row.granted_plan = plan


def _another(session: Session, actor: Actor, row: Subscription, remote: RemoteSubscription) -> None:
    """News of another subscription while one is live: an old one, or a second one that somebody has to look at."""
    if remote.status in PAYS:
        log.error("second_subscription", user_id=str(row.user_id), subscription_id=remote.id)
        details = {"subscription": remote.id, "kept": row.subscription_id}
        audit.record(session, actor, "subscription.duplicate", row.user.email, details=details)
