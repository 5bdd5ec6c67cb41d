"""The team on a database's page: invite somebody, send the invitation again, withdraw it."""

import uuid

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.limits import limit_mails
from webapp.services import access, invitations, outbox
from webapp.services.errors import Conflict, ValidationFailed
from webapp.web.databases import detail_page
from webapp.web.once import once

blueprint = Blueprint("invitations", __name__, url_prefix="/databases/<uuid:database_id>/invitations")


@blueprint.post("")
@once
def create(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Invite the typed address; the page says the same whether or not it has an account."""
    limit_mails(request.form.get("email", ""))
    session, actor, form = current_session(), current_actor(), request.form
    database = access.require(session, actor, database_id, "operate")
    try:
        made, mail = invitations.invite(session, actor, database, form.get("email", ""), form.get("level", ""))
    except (ValidationFailed, Conflict) as error:
        session.rollback()
        words = " ".join(word for said in (error.errors or {}).values() for word in said)
        return detail_page(database, member_problem=words or str(error)), error.status
    outbox.post(session, mail)
    session.commit()
    flash(f"An invitation is on its way to {made.email}")
    return _back(database_id)


@blueprint.post("/<uuid:invitation_id>/resend")
@once
def resend(database_id: uuid.UUID, invitation_id: uuid.UUID) -> Response:
    """Send another link; the old one ends."""
    limit_mails(str(invitation_id))
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "operate")
    found, mail = invitations.resend(session, actor, database, invitation_id)
    outbox.post(session, mail)
    session.commit()
    flash(f"Another invitation is on its way to {found.email}")
    return _back(database_id)


@blueprint.post("/<uuid:invitation_id>/withdraw")
def withdraw(database_id: uuid.UUID, invitation_id: uuid.UUID) -> Response:
    """End an invitation."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "operate")
    found = invitations.withdraw(session, actor, database, invitation_id)
    session.commit()
    flash(f"{found.email} is not invited any more")
    return _back(database_id)


def _back(database_id: uuid.UUID) -> Response:
    return redirect(url_for("databases.show", database_id=database_id, _anchor="team"), code=303)
