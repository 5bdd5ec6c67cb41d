"""Settings: what is used of the plan, and paying for another one. Money changes hands on Stripe's own pages only."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session, resources
from webapp.models import Subscription
from webapp.services import billing, plans, subscriptions, usage
from webapp.services.errors import BillingUnavailable, Conflict
from webapp.web.sessions import any_user

blueprint = Blueprint("billing", __name__, url_prefix="/settings")


@blueprint.get("/usage")
@any_user
def show_usage() -> str:
    """Databases and storage against the plan."""
    found = usage.of_user(current_session(), current_user.user)
    return render_template("settings/usage.html", usage=found, plan=plans.plan_of(current_user.user))


@blueprint.get("/billing")
@any_user
def show() -> str:
    """The plan, the subscription, and what can be had instead."""
    return _page()


@blueprint.post("/billing/checkout")
def checkout() -> str:
    """On to Stripe, where the plan is paid for; nothing changes before that."""
    base = resources().settings.base_url
    url = billing.start_checkout(
        current_session(), current_actor(), current_user.user, request.form.get("plan", ""),
        success_url=f"{base}{url_for('billing.paid')}?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{base}{url_for('billing.show')}",
    )  # fmt: skip
    current_session().commit()
    return _go_to(url)


@blueprint.get("/billing/paid")
def paid() -> Response:
    """Back from the payment: the plan is there at once, whenever Stripe's event comes."""
    session, user = current_session(), current_user.user
    try:
        is_paid = billing.finish_checkout(session, current_actor(), user, request.args.get("session_id", ""))
    except BillingUnavailable:
        session.rollback()
        flash("Stripe does not answer just now. Your plan changes as soon as it does.", "error")
        return redirect(url_for("billing.show"), code=303)
    session.commit()
    title = plans.plan_of(user).title
    flash(f"Thank you. You are on the {title} plan." if is_paid else "The payment is not complete yet.")
    return redirect(url_for("billing.show"), code=303)


@blueprint.post("/billing/portal")
def portal() -> str:
    """On to Stripe's pages for this customer: the card, the invoices, cancelling."""
    back = f"{resources().settings.base_url}{url_for('billing.show')}"
    url = billing.open_portal(current_session(), current_actor(), current_user.user, return_url=back)
    current_session().commit()
    return _go_to(url)


@blueprint.post("/billing/change")
def change() -> Response:
    """Another plan under the same subscription."""
    session, user = current_session(), current_user.user
    billing.change_plan(session, current_actor(), user, request.form.get("plan", ""))
    session.commit()
    flash(f"You are on the {plans.plan_of(user).title} plan.")
    return redirect(url_for("billing.show"), code=303)


@blueprint.errorhandler(BillingUnavailable)
@blueprint.errorhandler(Conflict)
def refused(error: BillingUnavailable | Conflict) -> tuple[str, int]:
    """Say on the page why nothing happened."""
    current_session().rollback()
    return _page(problem=str(error)), error.status


@blueprint.app_template_global()
def unpaid_subscription() -> Subscription | None:
    """The visitor's subscription when its last payment failed, for a banner on every page."""
    row = subscriptions.of_user(current_session(), current_user.user) if billing.is_on() else None
    return row if row is not None and row.status == "past_due" else None


def _page(problem: str | None = None) -> str:
    session, user = current_session(), current_user.user
    row = subscriptions.of_user(session, user)
    context: dict[str, Any] = {
        "problem": problem,
        "billing_on": billing.is_on(),
        "subscription": row,
        "grace_ends_at": subscriptions.grace_ends_at(row) if row else None,
        "plan": plans.plan_of(user),
        "plans": plans.all_plans(),
        "used": plans.live_databases(session, user),
    }
    return render_template("settings/billing.html", **context)


def _go_to(url: str) -> str:
    """A page that leads on by itself: a redirect from a form to another site is refused by our own policy."""
    return render_template("settings/go_to_stripe.html", url=url)
