"""Where Stripe sends its events: no key, but a signature over the raw body."""

from flask import Blueprint, Response, g, jsonify, request

from webapp.http import current_session, public
from webapp.services import billing_events, outbox
from webapp.services.actors import Actor

blueprint = Blueprint("stripe_events", __name__)


@blueprint.post("/webhooks/stripe")
@public
def take() -> Response:
    """Take one event; the answer is the same for one that came before, so that Stripe sends it no more."""
    session = current_session()
    actor = Actor("system", ip=request.remote_addr, request_id=g.request_id)
    mail = billing_events.take(session, actor, request.get_data(), request.headers.get("Stripe-Signature"))
    if mail is not None:
        outbox.post(session, mail)
    session.commit()
    return jsonify(received=True)
