"""Where an identity provider tells of its users: no key, but a signature over the raw body."""

from flask import Blueprint, Response, g, jsonify, request

from webapp.http import current_session, public
from webapp.services import outbox, user_sync
from webapp.services.actors import Actor

blueprint = Blueprint("user_events", __name__)


@blueprint.post("/webhooks/users")
@public
def take() -> Response:
    """Take one event; the answer is the same for one that came before, so that it is sent no more."""
    session = current_session()
    actor = Actor("system", ip=request.remote_addr, request_id=g.request_id)
    told = user_sync.take(session, actor, request.get_data(), dict(request.headers))
    for mail in told:
        outbox.post(session, mail)
    session.commit()
    return jsonify(received=True)
