"""API keys: the only way into the API, and what each may ask per minute. Cookies count for nothing here."""

import re

from flask import Response, g, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from sqlalchemy.orm import Session

from webapp import uploads
from webapp.http import CHANGING, current_session, is_api, nothing_saved_yet, resources, take_share
from webapp.limits import client_address, count
from webapp.models import ApiKey
from webapp.services import api_keys, plans
from webapp.services.actors import Actor
from webapp.services.errors import Unauthorized

SECRET = re.compile(r"dbh_[A-Za-z0-9_-]{43}", re.ASCII)


def routes(name: str, tag: str, prefix: str) -> APIBlueprint:
    """A blueprint of API routes below *prefix*, none of which answers without a key."""
    made = APIBlueprint(
        name, __name__, url_prefix=f"/api/v1{prefix}", abp_tags=[Tag(name=tag)], abp_security=[{"apiKey": []}]
    )
    made.before_request(require_key)
    return made


def require_key() -> None:
    """Before each API route: make the key's owner the actor, count the request, and take the body within its limit.

    Raises Unauthorized, ApiNotInPlan, TooManyRequests or RequestEntityTooLarge.
    """
    g.pop("actor", None)
    api_key = known_key()
    changing = request.method in CHANGING
    rate = resources().settings.change_rate if changing else resources().settings.read_rate
    g.allowance = count("change" if changing else "read", str(api_key.id), rate)
    plans.require_api(api_key.user)
    g.actor = Actor("api_key", api_key.user, api_key, request.remote_addr, g.request_id)
    nothing_saved_yet()
    take_share()
    if changing and not uploads.is_upload():
        _take_body()


def known_key() -> ApiKey:
    """The request's live key. Raises Unauthorized, or TooManyRequests once an address has sent too many others.

    No connection is held afterwards: counting takes one of its own.
    """
    session = current_session()
    try:
        api_key = _authenticate(session)
    except Unauthorized:
        session.rollback()
        count("unknown-key", client_address(), resources().settings.sign_in_rate)
        raise
    session.commit()
    return api_key


def set_headers(response: Response) -> Response:
    """What every answer of the API carries: nothing is kept by caches unless the route says so."""
    if is_api():
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        response.headers["X-Content-Type-Options"] = "nosniff"
        if "allowance" in g:
            response.headers.update(g.allowance.headers)
    return response


def _take_body() -> None:
    """Read the body. Raises RequestEntityTooLarge."""
    request.get_data(cache=True)
    request.stream.read(1)  # a chunked body is cut off at the limit without a word; only reading on says so


def _authenticate(session: Session) -> ApiKey:
    given = request.authorization
    if given is None or given.type != "bearer":
        raise Unauthorized("Send an API key as `Authorization: Bearer dbh_…`.")
    if not SECRET.fullmatch(given.token or ""):
        raise Unauthorized("The API key is not valid.")
    return api_keys.authenticate(session, given.token or "", ip=request.remote_addr)
