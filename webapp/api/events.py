"""An operation's progress as server-sent events, for as long as it is under way."""

import time
import uuid
from collections.abc import Iterator

from flask import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from webapp.api import shapes
from webapp.api.auth import routes
from webapp.api.responses import documented
from webapp.api.schemas import OperationPath
from webapp.api.waiting import slots
from webapp.http import Resources, current_actor, current_session, problem, release_session, resources
from webapp.permits import permit
from webapp.services import api_keys, operations
from webapp.services.actors import Actor
from webapp.services.errors import ServiceError

api = routes("events_api", "operations", "/operations")
HEARTBEAT_S = 15.0
LONGEST_S = 900.0
EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": ["operation", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
STREAM = {
    "description": "`event: operation` for each change, `event: end` with the final state; data is the operation.",
    "content": {"text/event-stream": {"schema": EVENT}},
}


@api.get("/<id>/events", responses=documented({200: STREAM}, 404))
def follow(path: OperationPath) -> Response:
    """Follow an operation step by step. A stream that breaks is opened again: it begins with what is so now."""
    actor = current_actor()
    operations.find_operation(current_session(), actor, path.id)
    release_session()
    with permit(slots()) as free:
        if free is None:
            detail = "Too many streams are open. Try again soon."
            return problem(503, "SERVICE_UNAVAILABLE", "Service unavailable", detail, headers={"Retry-After": "5"})
        response = Response(_stream(resources(), actor, path.id), content_type="text/event-stream; charset=utf-8")
        response.headers["X-Accel-Buffering"] = "no"
        response.call_on_close(free.hand_over())
        return response


def _stream(held: Resources, actor: Actor, operation_id: uuid.UUID) -> Iterator[str]:
    """Events until the operation has ended; outside the request, so with a session for each look."""
    started = spoke = time.monotonic()
    number, seen = 0, ""
    yield "retry: 2000\n\n"
    with held.notices.subscribe(f"operation:{operation_id}") as changes:
        while time.monotonic() - started < LONGEST_S:
            try:
                body, is_open, run_id = _look(held, actor, operation_id)
            except (ServiceError, DBAPIError, PoolTimeout):
                return
            if body != seen:
                number, seen, spoke = number + 1, body, time.monotonic()
                yield f"id: {number}\nevent: {'operation' if is_open else 'end'}\ndata: {body}\n\n"
            if not is_open:
                return
            if run_id:
                changes.follow(f"run:{run_id}")
            changes.wait(held.notices.recheck_s)
            if time.monotonic() - spoke > HEARTBEAT_S:
                spoke = time.monotonic()
                yield ": still there\n\n"


def _look(held: Resources, actor: Actor, operation_id: uuid.UUID) -> tuple[str, bool, uuid.UUID | None]:
    """The operation as JSON, whether it is under way, and its run; the connection is given back."""
    with held.sessions() as session:
        row = operations.find_operation(session, api_keys.still(session, actor), operation_id)
        return shapes.operation(row).model_dump_json(by_alias=True), row.is_open, row.run_id
