"""The team on a database's page: change a level, remove somebody, leave. Inviting is in invitations."""

import uuid

from flask import Blueprint, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.services import access, members

blueprint = Blueprint("members", __name__, url_prefix="/databases/<uuid:database_id>/members")


@blueprint.post("/<uuid:member_id>/level")
def change(database_id: uuid.UUID, member_id: uuid.UUID) -> Response:
    """Move a member to another level."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "operate")
    member = members.change_level(session, actor, database, member_id, request.form.get("level", ""))
    session.commit()
    flash(f"{member.user.email} is {member.level} now")
    return _back(database_id)


@blueprint.post("/<uuid:member_id>/remove")
def remove(database_id: uuid.UUID, member_id: uuid.UUID) -> Response:
    """End a membership; whoever leaves finds themselves in the list."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "view")
    member = members.find_member(session, database, member_id)
    leaves = member.user_id == current_user.user.id
    members.remove_member(session, actor, database, member_id)
    session.commit()
    flash(f"You left {database.display_name}" if leaves else f"{member.user.email} is no member any more")
    return redirect(url_for("databases.index"), code=303) if leaves else _back(database_id)


def _back(database_id: uuid.UUID) -> Response:
    return redirect(url_for("databases.show", database_id=database_id), code=303)
