"""The allowlist on a database's page: add a network, or take one off."""

import uuid

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models import Database
from webapp.services import access, allowlist
from webapp.services.errors import Conflict, ValidationFailed
from webapp.web.changes import refused
from webapp.web.databases import detail_page
from webapp.web.once import once

blueprint = Blueprint("allowlist", __name__, url_prefix="/databases/<uuid:database_id>/allowlist")
blueprint.register_error_handler(Conflict, refused)


@blueprint.post("")
@once
def add(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue one more network, by the form or by the button with the visitor's own address."""
    session, form = current_session(), request.form
    database = access.require(session, current_actor(), database_id, "operate")
    try:
        allowlist.add_network(session, current_actor(), database, form.get("cidr", ""), form.get("label", ""))
    except ValidationFailed as error:
        session.rollback()
        return detail_page(database, network_errors=_by_field(error)), error.status
    return _queued(database)


@blueprint.post("/remove")
def remove(database_id: uuid.UUID) -> Response:
    """Queue the list without one network."""
    session = current_session()
    database = access.require(session, current_actor(), database_id, "operate")
    allowlist.remove_network(session, current_actor(), database, request.form.get("cidr", ""))
    return _queued(database)


def _queued(database: Database) -> Response:
    current_session().commit()
    return redirect(url_for("databases.show", database_id=database.id), code=303)


def _by_field(error: ValidationFailed) -> dict[str, list[str]]:
    """Each message at the form's own field; what concerns the whole list stands at the network."""
    errors = {field.rpartition(".")[2]: words for field, words in (error.errors or {}).items()}
    return {"label" if field == "label" else "cidr": words for field, words in errors.items()}
