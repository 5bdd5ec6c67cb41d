"""Wait for an operation without holding a database connection, and say how it ended."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore
from typing import cast

import structlog
from flask import Flask, Response, current_app, url_for
from sqlalchemy.orm import Session

from webapp.api import shapes
from webapp.api.preference import Preference
from webapp.api.responses import answer
from webapp.api.schemas import OperationOut
from webapp.db import AWAY, is_away
from webapp.http import current_session, problem, release_session, resources
from webapp.models import Operation
from webapp.permits import permit
from webapp.services import api_keys, operations
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, HostUnavailable, OperationFailed

SLOTS = "dbhost_api_waiters"
RETRY_AFTER_S = 10
AWAY_PAUSE_S = 0.3

log = structlog.get_logger(__name__)
type Done = Callable[[Operation], Response]
# The operation, for whoever may have its answer as of now; raises a ServiceError otherwise.
type Again = Callable[[Session, Actor, uuid.UUID], Operation]


def init_app(app: Flask) -> None:
    """Keep an eighth of the threads free of waiting calls and streams, so that short requests are always served."""
    app.extensions[SLOTS] = BoundedSemaphore(max(1, app.extensions["dbhost"].settings.web_threads * 7 // 8))


def slots() -> BoundedSemaphore:
    """One for each request that may wait or stream; take it without blocking."""
    return cast(BoundedSemaphore, current_app.extensions[SLOTS])


@contextmanager
def waiting_slot() -> Iterator[bool]:
    """Whether this request may wait; when too many do already, it has to answer at once."""
    with permit(slots()) as free:
        yield free is not None


def finish(
    operation_id: uuid.UUID,
    actor: Actor,
    preference: Preference,
    done: Done,
    again: Again,
    *,
    asked: OperationOut | None = None,
) -> Response:
    """Wait as long as the caller likes, then answer: `done`, 202 with the operation, or what went wrong.

    The change is saved, so that a control database that is away is waited for too; when it stays away, the answer
    is 202 with the operation as it was *asked* for. What was allowed before the wait may not be any more: *again* is
    asked.
    """
    deadline = time.monotonic() + preference.patience_s(resources().settings.wait_timeout_s)
    while True:
        try:
            left_s = max(0.0, deadline - time.monotonic())
            wait_for(operation_id, actor, left_s)
            session = current_session()
            return _finish(again(session, api_keys.still(session, actor), operation_id), preference, done, left_s)
        except AWAY as error:
            release_session()
            if not is_away(error):
                raise
            log.warning("operation_not_read", operation_id=str(operation_id), error=type(error).__name__)
            if time.monotonic() >= deadline:
                if asked is None:
                    raise
                return _accepted(asked, preference)
        time.sleep(AWAY_PAUSE_S)


def _finish(operation: Operation, preference: Preference, done: Done, patience_s: float) -> Response:
    if preference.respond_async and patience_s == 0:
        return _accepted(shapes.operation(operation), preference)
    if operation.state == "succeeded":
        return done(operation)
    if operation.state == "failed":
        return _failed(operation)
    if operation.state == "cancelled":
        return _problem(operation, Conflict("The operation was cancelled."))
    if is_unreachable(operation):
        told = HostUnavailable("The host cannot be reached. The operation stays queued and is tried again.")
        return _problem(operation, told, {"Retry-After": str(RETRY_AFTER_S)})
    return _accepted(shapes.operation(operation), preference)


def after(operation_id: uuid.UUID, actor: Actor, preference: Preference, done: Done, again: Again) -> Response:
    """Wait for what is in the way, however that ends, and then answer by `done`; or 202 with it: ask again then."""
    wait_for(operation_id, actor, preference.patience_s(resources().settings.wait_timeout_s))
    session = current_session()
    operation = again(session, api_keys.still(session, actor), operation_id)
    return _accepted(shapes.operation(operation), preference) if operation.is_open else done(operation)


def wait_for(operation_id: uuid.UUID, actor: Actor, patience_s: float) -> Operation:
    """The operation once it has ended, or as it is when patience is over or the host is out of reach for longer."""
    deadline = time.monotonic() + patience_s
    notices = resources().notices
    with waiting_slot() as may_wait, notices.subscribe(f"operation:{operation_id}") as changes:
        while True:
            session = current_session()
            operation = operations.find_operation(session, api_keys.still(session, actor), operation_id)
            release_session()
            left_s = deadline - time.monotonic()
            if not operation.is_open or not may_wait or left_s <= 0 or _is_hopeless(operation, left_s):
                return operation
            changes.wait(min(left_s, notices.recheck_s))


def is_unreachable(operation: Operation) -> bool:
    """Whether the last attempt that ended did not reach the host, or none is made: the host is held."""
    return operation.is_open and (operation.error_code == HostUnavailable.code or operation.host.is_held)


def _is_hopeless(operation: Operation, left_s: float) -> bool:
    """Whether the next attempt comes too late for the caller."""
    later = operation.next_attempt_at > datetime.now(UTC) + timedelta(seconds=left_s)
    return operation.state == "queued" and is_unreachable(operation) and (later or operation.host.is_held)


def _accepted(operation: OperationOut, preference: Preference) -> Response:
    response = answer(operation, 202)
    response.headers["Location"] = _address(operation)
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


def _failed(operation: Operation) -> Response:
    step = f" at the step “{operation.error_step}”" if operation.error_step else ""
    message = f": {operation.error_message}" if operation.error_message else "."
    return _problem(operation, OperationFailed(f"The operation failed{step}{message}"))


def _problem(
    operation: Operation, error: OperationFailed | Conflict | HostUnavailable, headers: dict[str, str] | None = None
) -> Response:
    location = {"Location": _address(operation)}
    return problem(error.status, error.code, error.title, str(error), headers={**location, **(headers or {})})


def _address(operation: Operation | OperationOut) -> str:
    return url_for("operations_api.show", id=operation.id)
