"""Views that make something answer the same form, sent twice, by what came of it the first time."""

import time
import uuid
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any

import structlog
from flask import Response, flash, make_response, redirect, request
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.db import AWAY, CommitLost
from webapp.http import current_session, release_session
from webapp.services import guards, submitted_forms
from webapp.services.submitted_forms import Outcome
from webapp.web.confirmation import require_recent
from webapp.web.security import csp_nonce

FIELD = "form_token"
PATIENCE_S = 5.0
LOOK_EVERY_S = 0.05
_NOT_OF_THE_FORM = ("csrf_token",)

log = structlog.get_logger(__name__)


def form_token() -> str:
    """A token for one form of one page."""
    return uuid.uuid4().hex


def once(view: Callable[..., Any]) -> Callable[..., Any]:
    """Have *view*, which makes something, do so once for each form that a page has shown.

    What was typed is part of the form: back, another name and *send* makes another thing. A form without a token, of
    a page that an older release has shown, is sent as often as it is sent. The visitor has been asked for before; an
    answer is given again only to the very session that got it.
    """

    @wraps(view)
    def answered_once(**arguments: Any) -> Any:
        key = _key()
        if key is None:
            return view(**arguments)
        auth_session_id = current_user.auth_session.id
        if not submitted_forms.claim(current_session(), auth_session_id, key):
            return _again(auth_session_id, key)
        response = make_response(view(**arguments))
        if response.status_code < 400:
            _remember(auth_session_id, key, response)
        return response

    answered_once.answers_once = True  # type: ignore[attr-defined]
    return answered_once


def _key() -> bytes | None:
    """What makes two forms the same: the token, where they were sent to, and what was typed."""
    token = request.form.get(FIELD, "")
    if not token or len(token) > 64:
        return None
    typed = sorted(pair for pair in request.form.items(multi=True) if pair[0] not in _NOT_OF_THE_FORM)
    return sha256(repr((request.path, request.query_string, typed)).encode()).digest()


def _remember(auth_session_id: uuid.UUID, key: bytes, response: Response) -> None:
    """An answer that cannot be kept is given all the same."""
    outcome = Outcome(
        response.status_code, response.headers.get("Location"), csp_nonce(), response.get_data(as_text=True)
    )
    try:
        submitted_forms.remember(current_session(), auth_session_id, key, outcome)
        current_session().commit()
    except (*AWAY, CommitLost) as error:
        log.warning("outcome_not_kept", error=type(error).__name__)
        release_session()


def _again(auth_session_id: uuid.UUID, key: bytes) -> BaseResponse:
    """The first answer, which may be on its way; scripts of the page run under this response's nonce."""
    guards.mark_refused()
    deadline = time.monotonic() + PATIENCE_S
    outcome = submitted_forms.outcome_of(current_session(), auth_session_id, key)
    while outcome is None and time.monotonic() < deadline:
        release_session()
        time.sleep(LOOK_EVERY_S)
        outcome = submitted_forms.outcome_of(current_session(), auth_session_id, key)
    if outcome is None:
        flash("This form was sent before, and what it asked for was done.")
        return redirect("/", code=303)
    if outcome.location is not None:
        return redirect(outcome.location, code=outcome.status)
    require_recent()  # there may be a secret on it
    return Response(outcome.body.replace(outcome.nonce, csp_nonce()), status=outcome.status, mimetype="text/html")
