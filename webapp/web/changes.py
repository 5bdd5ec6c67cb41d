"""Changes to one database: each asks for confirmation where something can be lost, then queues an operation."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models import Database, Operation
from webapp.services import access, databases, deletions, storage_limits
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, ValidationFailed
from webapp.web.confirmation import require_recent
from webapp.web.databases import detail_page

blueprint = Blueprint("changes", __name__, url_prefix="/databases/<uuid:database_id>")


@dataclass(frozen=True)
class Change:
    """A button of the detail page: who may press it, and what it queues."""

    permission: str
    queue: Callable[[Session, Actor, Database], Operation]


CHANGES = {
    "start": Change("operate", databases.start_database),
    "stop": Change("operate", databases.stop_database),
    "restart": Change("operate", databases.restart_database),
    "reset-password": Change("operate", databases.reset_password),
    "repair-ownership": Change("operate", databases.repair_ownership),
    "clean-up": Change("operate", storage_limits.clean_up),
}
NO_BACKUP = "no backup"
CONFIRMED = {"stop": "operate", "restart": "operate", "reset-password": "operate", "rename": "operate", "delete": "own"}


@blueprint.get("/<any(stop, restart, 'reset-password', rename, delete):change>")
def confirm(database_id: uuid.UUID, change: str) -> str:
    """The confirmation as a page of its own, for browsers without JavaScript."""
    database = access.require(current_session(), current_actor(), database_id, CONFIRMED[change])
    if change == "delete":
        require_recent()
    return render_template("databases/confirm.html", database=database, change=change)


@blueprint.post("/<any(start, stop, restart, 'reset-password', 'repair-ownership', 'clean-up'):change>")
def queue(database_id: uuid.UUID, change: str) -> Response:
    """Queue the change and show the database, where its steps appear."""
    session, chosen = current_session(), CHANGES[change]
    database = access.require(session, current_actor(), database_id, chosen.permission)
    chosen.queue(session, current_actor(), database)
    session.commit()
    return redirect(url_for("databases.show", database_id=database_id), code=303)


@blueprint.post("/rename")
def rename(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Change the display name; nothing on the host changes."""
    session, display_name = current_session(), request.form.get("display_name", "")
    database = access.require(session, current_actor(), database_id, "operate")
    try:
        databases.rename_database(session, current_actor(), database, display_name)
    except ValidationFailed as error:
        context = {"database": database, "change": "rename", "display_name": display_name, "errors": error.errors}
        return render_template("databases/confirm.html", **context), error.status
    session.commit()
    flash("Database renamed")
    return redirect(url_for("databases.show", database_id=database_id), code=303)


@blueprint.post("/delete")
def delete(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue the end of the database once its name was typed, and show the operation: the database's page goes."""
    session = current_session()
    database = access.require(session, current_actor(), database_id, "own")
    require_recent()
    if request.form.get("confirmation", "").strip() != database.name:
        problem = f"Type {database.name} to confirm."
        return render_template("databases/confirm.html", database=database, change="delete", problem=problem), 400
    skip = request.form.get("no_backup", "").strip()
    if skip not in ("", NO_BACKUP):
        told = {"skip_problem": f"Type {NO_BACKUP}, or leave it empty."}
        return render_template("databases/confirm.html", database=database, change="delete", **told), 400
    operation = deletions.delete_database(session, current_actor(), database, skip_final_backup=bool(skip))
    session.commit()
    return redirect(url_for("operations.show", operation_id=operation.id), code=303)


@blueprint.errorhandler(Conflict)
def refused(error: Conflict) -> tuple[str, int]:
    """Say on the database's page why the change cannot be made now."""
    session = current_session()
    session.rollback()
    view_args = request.view_args or {}
    database = access.require(session, current_actor(), view_args["database_id"], "view")
    return detail_page(database, problem=str(error)), error.status
