"""Everybody's operations, to look after and to cancel or retry from one place."""

import uuid

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models.operations import KINDS, OPERATION_STATES
from webapp.services import everything, operations
from webapp.services.errors import Conflict
from webapp.services.everything import Filters
from webapp.web.admin.shell import admin_pages
from webapp.web.requests import existing, page_number
from webapp.web.words import OPERATIONS

blueprint = admin_pages("operations", "/operations")


@blueprint.get("")
def index(problem: str | None = None) -> str:
    """All of them, by database, state, kind and host."""
    session = current_session()
    filters = Filters(**{name: request.args.get(name, "")[:100] for name in ("search", "state", "host", "kind")})
    page = existing(everything.operations(session, current_actor(), filters, page=page_number()))
    choices = {"states": OPERATION_STATES, "kinds": KINDS, "hosts": everything.host_names(session)}
    kind_words = {kind: OPERATIONS[kind].name for kind in KINDS}
    context = {"page": page, "filters": filters, "problem": problem, "kind_words": kind_words}
    return render_template("admin/operations.html", **choices, **context)


@blueprint.post("/<uuid:operation_id>/cancel")
def cancel(operation_id: uuid.UUID) -> Response:
    operation = operations.cancel_operation(current_session(), current_actor(), operation_id)
    current_session().commit()
    flash("Operation cancelled" if operation.state == "cancelled" else "The worker was asked to stop")
    return redirect(url_for("admin_operations.index"), code=303)


@blueprint.post("/<uuid:operation_id>/retry")
def retry(operation_id: uuid.UUID) -> Response:
    operations.retry_operation(current_session(), current_actor(), operation_id)
    current_session().commit()
    flash("Queued again")
    return redirect(url_for("admin_operations.index"), code=303)


@blueprint.errorhandler(Conflict)
def refused(error: Conflict) -> tuple[str, int]:
    """Say above the list why it was not done."""
    current_session().rollback()
    return index(problem=str(error)), error.status
