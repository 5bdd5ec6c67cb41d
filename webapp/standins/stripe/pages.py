"""The stand-in's pages: where a customer pays, and where one looks after a subscription. Buttons play what happens."""

from flask import Blueprint, Response, redirect, render_template_string, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.standins.stripe.api import store
from webapp.standins.stripe.store import Missing

blueprint = Blueprint("pages", __name__)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>{{ title }} · Stripe stand-in</title>
<style>body{font:16px/1.5 system-ui;max-width:32rem;margin:3rem auto;padding:0 1rem}button{display:block;width:100%;
padding:.7rem;margin:.6rem 0;font:inherit;cursor:pointer}small{color:#666}</style>
<h1>{{ title }}</h1><p>{{ text }}</p>
<form method="post">{% for name, label in buttons %}
<button name="do" value="{{ name }}">{{ label }}</button>{% endfor %}</form>
<p><a href="{{ back }}">Back to the shop</a></p><small>A stand-in for Stripe: no money moves.</small></html>"""


def page(title: str, text: str, buttons: list[tuple[str, str]], back: str) -> str:
    return render_template_string(PAGE, title=title, text=text, buttons=buttons, back=back)


@blueprint.errorhandler(Missing)
def missing(error: Missing) -> tuple[str, int]:
    return str(error), 404


@blueprint.get("/pay/<session_id>")
def pay_form(session_id: str) -> str:
    session = store().get(session_id, "checkout.session")
    amount = f"{session['amount_total'] / 100:.2f} {session['currency'].upper()} a month"
    buttons = [("pay", "Pay"), ("decline", "Pay with a card that is declined")]
    return page("Checkout", amount, buttons, session["cancel_url"] or "/")


@blueprint.post("/pay/<session_id>")
def pay(session_id: str) -> BaseResponse | str:
    session = store().get(session_id, "checkout.session")
    if request.form.get("do") != "pay":
        return page("Checkout", "Your card was declined.", [("pay", "Pay with another card")], session["cancel_url"])
    store().pay(session_id)
    return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id), code=303)


BUTTONS = [
    ("renew", "The period ends: renew"), ("bad-card", "Use a card that is declined"), ("card", "Use a card that pays"),
    ("cancel", "Cancel at the period's end"), ("resume", "Do not cancel"), ("end", "End now"),
]  # fmt: skip


@blueprint.get("/portal/<portal_id>")
def portal(portal_id: str) -> str:
    session = store().get(portal_id, "billing_portal.session")
    lines = [
        f"{each['id']}: {each['status']}{', ends with its period' if each['cancel_at_period_end'] else ''}"
        for each in store().all("subscription", customer=session["customer"])
    ]
    return page("Your subscription", "; ".join(lines) or "No subscription", BUTTONS, session["return_url"] or "/")


@blueprint.post("/portal/<portal_id>")
def act(portal_id: str) -> BaseResponse:
    session = store().get(portal_id, "billing_portal.session")
    play(session["customer"], request.form.get("do", ""))
    return redirect(url_for("pages.portal", portal_id=portal_id), code=303)


def play(customer_id: str, what: str) -> None:
    """One button: what the customer does, or what time does to the subscription."""
    if what in ("card", "bad-card"):
        store().use_card(customer_id, what == "card")
    for found in store().all("subscription", customer=customer_id):
        if found["status"] == "canceled":
            continue
        if what == "renew":
            store().renew(found["id"])
        elif what in ("cancel", "resume"):
            store().update(found["id"], {"cancel_at_period_end": what == "cancel"})
        elif what == "end":
            store().end(found["id"])


@blueprint.get("/")
def home() -> Response:
    return Response("A stand-in for Stripe.", mimetype="text/plain")
