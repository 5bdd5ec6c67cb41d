"""One change by the API: claim the idempotency key, queue the operation, commit once, wait, answer.

An answer that is given again, or after a wait, is a new question of permission: each call says by an `Allow` who may
have it, and that is asked of the key and its user as they are then.
"""

import json
import time
import uuid
from collections.abc import Callable
from hashlib import sha256

import structlog
from flask import Response, request
from sqlalchemy.orm import Session

from webapp.api import shapes
from webapp.api.preference import Preference, read_preference
from webapp.api.schemas import ChangeHeaders, PostHeaders
from webapp.api.waiting import Again, Done, finish
from webapp.db import AWAY, CommitLost
from webapp.http import current_actor, current_session, nothing_saved_yet, release_session, resources
from webapp.models import Operation
from webapp.services import access, guards, idempotency, operations
from webapp.services.actors import Actor
from webapp.services.errors import OperationInProgress
from webapp.services.idempotency import Claim, StoredAnswer

KEPT_HEADERS = ("Content-Type", "Location", "Preference-Applied")
TIDY_EVERY_S = 60.0
_tidied = {"at": time.monotonic()}
log = structlog.get_logger(__name__)
type Ask = Callable[[Session, Actor], Operation]
# Raises a ServiceError for whoever may not have the answer as of now.
type Allow = Callable[[Session, Actor], object]


def carry_out(
    headers: ChangeHeaders, allow: Allow, ask: Ask, done: Done, *, sees: str = "view", body: str | None = None
) -> Response:
    """Queue what *ask* asks for and answer by *done* when it has succeeded.

    A key that was used before leads to the operation of its first use: nothing is asked for twice. Whoever gets an
    answer passes *allow* then, and has permission *sees* on the operation's database. *body* stands for the
    request's body where that is no JSON.
    """
    preference = read_preference(headers.prefer)
    session, actor = current_session(), current_actor()
    claimed = claim(session, actor, headers, body)
    again = asking(allow, sees)
    if claimed and claimed.operation_id is not None:
        again(session, actor, claimed.operation_id)
    if claimed and claimed.answer and (claimed.answer.status != 202 or preference.respond_async):
        return replay(claimed.answer, allow)
    if claimed and not claimed.is_new:
        if claimed.operation_id is None:
            raise OperationInProgress("Another request with this Idempotency-Key has not ended yet.")
        nothing_changed()
        operation_id, asked = claimed.operation_id, None
    else:
        operation = ask(session, actor)
        operation_id, asked = operation.id, shapes.operation(operation)
        if claimed:
            idempotency.bind(session, claimed, operation_id)
    commit(session, preference)
    response = finish(operation_id, actor, preference, done, again, asked=asked)
    if claimed and response.status_code < 300:
        _remember_and_tidy(claimed, response)
    return response


def asking(allow: Allow, sees: str = "view") -> Again:
    """*allow* and permission *sees* on the operation's database, asked when there is an answer."""

    def again(session: Session, actor: Actor, operation_id: uuid.UUID) -> Operation:
        allow(session, actor)
        return operations.find_operation(session, actor, operation_id, sees)

    return again


def once(headers: PostHeaders, allow: Allow, make: Callable[[Session, Actor], Response]) -> Response:
    """Answer by *make* what needs no waiting, in one transaction, and once for each idempotency key."""
    session, actor = current_session(), current_actor()
    claimed = claim(session, actor, headers)
    if claimed and claimed.answer:
        return replay(claimed.answer, allow)
    response = make(session, actor)
    if claimed and response.status_code < 300:
        remember(session, claimed, response)
    session.commit()
    return response


def on(database_id: uuid.UUID, permission: str) -> Allow:
    """Whoever has *permission* on the database, also on one that was deleted since."""
    return lambda session, actor: access.require_also_deleted(session, actor, database_id, permission)


def whole_account(_session: Session, actor: Actor) -> None:
    """A key for the whole account: the answer is its user's own."""
    access.require_full_account(actor)


def platform_admin(_session: Session, actor: Actor) -> None:
    """Platform admins alone."""
    access.require_platform_admin(actor)


def commit(session: Session, preference: Preference) -> None:
    """Commit; a connection lost meanwhile is no reason to give up as long as the caller waits for an answer.

    Raises CommitLost when it is not known then whether the change was saved.
    """
    try:
        session.commit()
    except CommitLost as lost:
        release_session()
        outcome = lost.outcome(preference.patience_s(resources().settings.wait_timeout_s))
        if outcome == "aborted":
            nothing_saved_yet()
        if outcome != "committed":
            raise


def _remember_and_tidy(claimed: Claim, response: Response) -> None:
    """Keep the answer; one that cannot be kept is given all the same, and made again for the same key."""
    try:
        remember(current_session(), claimed, response)
        current_session().commit()
        _tidy(current_session())
    except (*AWAY, CommitLost) as error:
        log.warning("answer_not_kept", error=type(error).__name__)
        release_session()


def claim(session: Session, actor: Actor, headers: ChangeHeaders, body: str | None = None) -> Claim | None:
    """Take the request's idempotency key, when it has one. Raises IdempotencyKeyReused."""
    if not isinstance(headers, PostHeaders) or not headers.idempotency_key or actor.api_key is None:
        return None
    return idempotency.claim(session, actor.api_key.id, headers.idempotency_key, _request_hash(body))


def remember(session: Session, claimed: Claim, response: Response) -> None:
    """Keep an answer for the next request with the same key."""
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    idempotency.remember(session, claimed, StoredAnswer(response.status_code, kept, response.get_data(as_text=True)))


def replay(stored: StoredAnswer, allow: Allow) -> Response:
    """Give the first answer again to the API key that got it, if it may have it today."""
    allow(current_session(), current_actor())
    nothing_changed()
    response = Response(stored.body, status=stored.status, headers=stored.headers)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def nothing_changed() -> None:
    """Tell the guard that this POST or PATCH has no event to record, since it changed nothing."""
    guards.mark_audited()


def _tidy(session: Session) -> None:
    """Once a minute and process, remove the keys whose day is over: some hold a password."""
    if time.monotonic() - _tidied["at"] > TIDY_EVERY_S:
        _tidied["at"] = time.monotonic()
        idempotency.purge_expired(session)
        session.commit()


def _request_hash(body: str | None) -> bytes:
    """What makes two requests the same: method, path, query and the body's values, however they are written."""
    if body is None:
        body = json.dumps(request.get_json(), sort_keys=True) if request.get_data(cache=True) else ""
    query = [request.query_string.decode("latin-1")] if request.query_string else []
    return sha256("\0".join([request.method, request.path, *query, body]).encode()).digest()
