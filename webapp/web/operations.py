"""Pages of operations: the list, one with its steps, and the stream that shows them as they happen."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

from flask import Blueprint, Response, flash, redirect, render_template, request, stream_with_context, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.http import current_actor, current_session, release_session, resources
from webapp.models.operations import OPERATION_STATES
from webapp.services import access, deletions, operations
from webapp.services.errors import Conflict, ServiceError
from webapp.services.notices import Subscription
from webapp.web.requests import existing, page_number
from webapp.web.sessions import still

blueprint = Blueprint("operations", __name__, url_prefix="/operations")

STREAM_S = 60.0
HEARTBEAT_S = 15.0
RECHECK_S = 1.0


@blueprint.get("")
def index() -> str:
    """What was asked of the visitor's databases, newest first."""
    state = request.args.get("state", "")
    chosen = state if state in OPERATION_STATES else None
    page = existing(
        operations.list_operations(current_session(), current_actor(), page=page_number(), limit=25, state=chosen)
    )
    return render_template("operations/index.html", page=page, state=chosen or "", states=OPERATION_STATES)


@blueprint.get("/<uuid:operation_id>")
def show(operation_id: uuid.UUID, problem: str | None = None) -> str:
    """One operation with its step log."""
    operation = operations.find_operation(current_session(), current_actor(), operation_id)
    may_operate = access.allows(current_actor(), operation.database, "operate")
    progress = operations.progress(operation)
    undo = None
    if operation.kind == "database.delete":
        undo = deletions.find_undoable(current_session(), current_actor(), operation.database)
    context = {
        "operation": operation,
        "progress": progress,
        "may_operate": may_operate,
        "problem": problem,
        "undo": undo,
    }
    return render_template("operations/show.html", **context)


@blueprint.get("/<uuid:operation_id>/events")
def events(operation_id: uuid.UUID) -> Response:
    """The operation's panel as server-sent events, again after each change, until it has ended."""
    operations.find_operation(current_session(), current_actor(), operation_id)
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return Response(
        stream_with_context(_stream(operation_id, uuid.UUID(current_user.get_id()))),
        mimetype="text/event-stream",
        headers=headers,
    )


@blueprint.post("/<uuid:operation_id>/cancel")
def cancel(operation_id: uuid.UUID) -> BaseResponse:
    """Cancel what has not begun, or ask the worker to stop."""
    operation = operations.cancel_operation(current_session(), current_actor(), operation_id)
    current_session().commit()
    flash("Operation cancelled" if operation.state == "cancelled" else "The worker was asked to stop")
    return redirect(url_for("operations.show", operation_id=operation_id), code=303)


@blueprint.post("/<uuid:operation_id>/retry")
def retry(operation_id: uuid.UUID) -> BaseResponse:
    """Queue a failed operation again."""
    operation = operations.retry_operation(current_session(), current_actor(), operation_id)
    current_session().commit()
    if operation.kind == "database.delete":
        return redirect(url_for("operations.show", operation_id=operation_id), code=303)
    return redirect(url_for("databases.show", database_id=operation.database_id), code=303)


@blueprint.errorhandler(Conflict)
def refused(error: Conflict) -> tuple[str, int]:
    """Say on the operation's page why it cannot be cancelled or retried."""
    current_session().rollback()
    view_args = request.view_args or {}
    return show(view_args["operation_id"], problem=str(error)), error.status


def _stream(operation_id: uuid.UUID, visitor: uuid.UUID) -> Iterator[str]:
    """Yield the panel whenever it reads differently, for as long as the session lives and its user may see it. A
    stream ends after a minute; no database connection is held while it waits."""
    with resources().notices.subscribe() as subscription, suppress(ServiceError):
        yield from _panels(operation_id, visitor, subscription)


def _panels(operation_id: uuid.UUID, visitor: uuid.UUID, subscription: Subscription) -> Iterator[str]:
    shown, ends, beat = "", monotonic() + STREAM_S, monotonic()
    while monotonic() < ends:
        panel, is_open = _panel(operation_id, visitor)
        if panel != shown:
            shown, beat = panel, monotonic()
            yield _message(panel)
        if not is_open:
            yield "event: ended\ndata: ended\n\n"
            return
        if monotonic() - beat > HEARTBEAT_S:
            beat = monotonic()
            yield ": still here\n\n"
        subscription.wait(RECHECK_S)


def _panel(operation_id: uuid.UUID, visitor: uuid.UUID) -> tuple[str, bool]:
    """The panel as it reads now, and whether more is to come. Raises a ServiceError for whoever may not see it now."""
    operation = operations.find_operation(current_session(), still(visitor), operation_id)
    progress = operations.progress(operation)
    panel = render_template("operations/_progress.html", operation=operation, progress=progress)
    is_open = operation.is_open
    release_session()
    return panel, is_open


def _message(text: str) -> str:
    lines = "".join(f"data: {line.strip()}\n" for line in text.splitlines() if line.strip())
    return f"{lines}\n"
