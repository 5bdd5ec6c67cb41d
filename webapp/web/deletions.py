"""Recently deleted databases, the switch that protects one, and a copy of one."""

import uuid

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models import Database
from webapp.services import access, backups, clones, deletions
from webapp.services.databases import DatabaseSpec
from webapp.services.errors import Conflict, PlanLimitReached, ServiceError, ValidationFailed
from webapp.web.once import once
from webapp.web.sessions import any_user

blueprint = Blueprint("deletions", __name__, url_prefix="/databases")


@blueprint.get("/deleted")
@any_user
def index() -> str:
    """What the visitor has deleted and can bring back."""
    return _page()


@blueprint.post("/<uuid:database_id>/undelete")
def undelete(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue the return of a deleted database, and show it."""
    session, actor = current_session(), current_actor()
    database = deletions.find_deleted(session, actor, database_id)
    name = request.form.get("name", "").strip()
    try:
        deletions.undelete(session, actor, database, name or None)
    except ServiceError as error:
        session.rollback()
        words = " ".join(word for said in (error.errors or {}).values() for word in said)
        return _page(words or str(error)), error.status
    session.commit()
    return redirect(url_for("databases.show", database_id=database_id), code=303)


@blueprint.post("/<uuid:database_id>/protection")
def protect(database_id: uuid.UUID) -> Response:
    """Switch the protection on or off."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "own")
    protected = request.form.get("protected") == "true"
    deletions.set_protection(session, actor, database, protected=protected)
    session.commit()
    flash("Protected from being deleted" if protected else "No longer protected")
    return redirect(url_for("databases.show", database_id=database_id), code=303)


@blueprint.get("/<uuid:database_id>/clone")
def new_clone(database_id: uuid.UUID) -> str:
    """The form that asks for the copy's display name."""
    database = access.require(current_session(), current_actor(), database_id, "clone")
    return _clone_form(database)


@blueprint.post("/<uuid:database_id>/clone")
@once
def clone(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue the copy, and show it."""
    session, actor, form = current_session(), current_actor(), request.form
    database = access.require(session, actor, database_id, "clone")
    filename = form.get("backup", "")
    try:
        backup = backups.find_backup(session, database, filename) if filename else None
        spec = DatabaseSpec(form.get("display_name", ""))
        operation = clones.clone_database(session, actor, database, spec, backup)
    except (ValidationFailed, PlanLimitReached, Conflict) as error:
        session.rollback()
        return _clone_form(database, error), error.status
    session.commit()
    return redirect(url_for("databases.show", database_id=operation.database_id), code=303)


def _page(problem: str | None = None) -> str:
    found = deletions.list_deleted(current_session(), current_actor())
    return render_template("databases/deleted.html", deleted=found, problem=problem)


def _clone_form(database: Database, error: ServiceError | None = None) -> str:
    listed = backups.list_backups(current_session(), database)
    errors = (error.errors or {}).get("displayName") if error else None
    problem = None if errors or error is None else str(error)
    typed = request.form.get("display_name", f"{database.display_name} copy"[:100])
    chosen = request.values.get("backup", "")
    context = {"database": database, "backups": listed, "display_name": typed, "chosen": chosen}
    return render_template("databases/clone.html", **context, errors=errors, problem=problem)
