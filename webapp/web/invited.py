"""Answering an invitation: the page of its link, for everybody, and the buttons of those who are signed in."""

import uuid

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models import Invitation
from webapp.services import invitation_answers, invitations, outbox, users
from webapp.services.errors import InvitationNotFound, LinkNotValid, NotAllowed, ServiceError
from webapp.web.accounts import chosen_password, somebody
from webapp.web.second_step import enter

signed_out = Blueprint("invited", __name__, url_prefix="/invitations")
signed_in = Blueprint("own_invitations", __name__, url_prefix="/invitations")


@signed_out.get("")
def show() -> str:
    """The invitation of a link; opening it does not use it up."""
    return _page(request.args.get("token", ""))


@signed_out.post("/join")
def join() -> Response | tuple[str, int]:
    """Make the account that the link allows, accept, and sign in."""
    session, token = current_session(), request.form.get("token", "")
    try:
        user, database, told = invitation_answers.join(session, somebody(), token, chosen_password())
    except LinkNotValid:
        raise
    except ServiceError as error:
        session.rollback()
        return _page(token, error), error.status
    address = url_for("databases.show", database_id=database.id)
    outbox.post(session, told)
    return enter(user, "invitation", address)


@signed_in.post("/<uuid:invitation_id>/accept")
def accept(invitation_id: uuid.UUID) -> Response | tuple[str, int]:
    """Become a member, or the owner, and see the database."""
    session = current_session()
    try:
        database, told = invitation_answers.accept(session, current_actor(), invitation_id)
    except (InvitationNotFound, NotAllowed):
        raise
    except ServiceError as error:
        session.rollback()
        return _own_page(invitation_id, error), error.status
    outbox.post(session, told)
    session.commit()
    owner = database.owner_id == current_user.user.id
    flash(f"{database.display_name} is yours now" if owner else f"You have access to {database.display_name} now")
    return redirect(url_for("databases.show", database_id=database.id), code=303)


@signed_in.post("/<uuid:invitation_id>/decline")
def decline(invitation_id: uuid.UUID) -> Response:
    """End the invitation."""
    session = current_session()
    told = invitation_answers.decline(session, current_actor(), invitation_id)
    outbox.post(session, told)
    session.commit()
    flash("Invitation declined")
    return redirect(url_for("databases.index"), code=303)


@signed_out.errorhandler(LinkNotValid)
def link_not_valid(error: LinkNotValid) -> tuple[str, int]:
    """What to do about a link that does not work."""
    return render_template("accounts/link_not_valid.html", problem=str(error)), error.status


def _page(token: str, error: ServiceError | None = None) -> str:
    invitation = invitations.look(current_session(), token)
    is_known = users.by_email(current_session(), invitation.email) is not None
    context = {"token": token, "is_known": is_known, "may_join": invitation_answers.may_join()}
    return _show(invitation, error, **context)


def _own_page(invitation_id: uuid.UUID, error: ServiceError) -> str:
    """The invitation again, with why it could not be accepted."""
    session = current_session()
    mine = invitation_answers.of_user(session, current_user.user)
    found = next((invitation for invitation in mine if invitation.id == invitation_id), None)
    if found is None:
        raise InvitationNotFound
    return _show(found, error)


def _show(invitation: Invitation, error: ServiceError | None, **context: object) -> str:
    user = current_user.user if current_user.is_authenticated else None
    problem = str(error) if error and not error.errors else None
    errors = (error.errors or {}) if error else {}
    is_mine = user is not None and user.email.lower() == invitation.email
    shown = {"invitation": invitation, "is_mine": is_mine, "user": user, "problem": problem, "errors": errors}
    return render_template("accounts/invitation.html", **shown, **context)
