"""A member's own credentials on the database's page: make them, see them once, end them."""

import uuid

from flask import Blueprint, flash, redirect, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.services import access, member_credentials, members
from webapp.services.errors import Conflict, NotFound
from webapp.web.databases import detail_page
from webapp.web.once import once

blueprint = Blueprint("member_credentials", __name__, url_prefix="/databases/<uuid:database_id>/members")


@blueprint.post("/me/credentials")
@once
def make(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue credentials of one's own, or a new password for them."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "member")
    try:
        member_credentials.make(session, actor, database)
    except Conflict as error:
        session.rollback()
        return detail_page(database, problem=str(error)), error.status
    session.commit()
    return _back(database_id)


@blueprint.post("/me/credentials/show")
@once
def show(database_id: uuid.UUID) -> str | tuple[str, int]:
    """The page with one's own connection string on it, this once."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "member")
    try:
        own = member_credentials.take(session, actor, database)
    except (Conflict, NotFound) as error:
        session.rollback()
        return detail_page(database, problem=str(error)), error.status
    session.commit()
    return detail_page(database, own_credentials=own)


@blueprint.post("/me/credentials/end")
def give_up(database_id: uuid.UUID) -> Response:
    """End one's own credentials."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "member")
    member_credentials.give_up(session, actor, database)
    session.commit()
    flash("Your credentials end")
    return _back(database_id)


@blueprint.post("/<uuid:member_id>/credentials/end")
def revoke(database_id: uuid.UUID, member_id: uuid.UUID) -> Response:
    """End a member's credentials; the membership stays."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "operate")
    member = members.find_member(session, database, member_id)
    member_credentials.revoke(session, actor, database, member)
    session.commit()
    flash(f"The credentials of {member.user.email} end")
    return _back(database_id)


def _back(database_id: uuid.UUID) -> Response:
    return redirect(url_for("databases.show", database_id=database_id), code=303)
