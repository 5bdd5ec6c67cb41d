"""Moving a database to another host, from its page, by a platform admin."""

import uuid

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.services import access, moves
from webapp.services.errors import Conflict, HostNotFound, HostUnavailable
from webapp.web.databases import detail_page

blueprint = Blueprint("moves", __name__, url_prefix="/databases/<uuid:database_id>/move")


@blueprint.post("")
def move(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue the move and show its operation."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "move")
    try:
        operation = moves.move_database(session, actor, database, request.form.get("host", ""))
    except (Conflict, HostNotFound, HostUnavailable) as error:
        session.rollback()
        return detail_page(access.require(session, actor, database_id, "move"), problem=str(error)), error.status
    session.commit()
    return redirect(url_for("operations.show", operation_id=operation.id), code=303)
