"""Signing in, finishing a sign-in and confirming by a passkey."""

from flask import Blueprint, redirect, render_template
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_session
from webapp.limits import sign_in_limit
from webapp.services import auth_sessions
from webapp.services.errors import LinkNotValid, SignInFailed
from webapp.web import passkeys, second_step
from webapp.web.auth import next_page
from webapp.web.sessions import acting_visitor

blueprint = Blueprint("passkey_sign_in", __name__)


@blueprint.post("/sign-in/passkey")
@sign_in_limit
def sign_in() -> Response:
    """The whole sign-in, or its second step when the first is done."""
    half_way = second_step.pending_user()
    user = passkeys.check(half_way)
    return second_step.finish("passkey") if half_way else second_step.enter(user, "passkey", next_page())


@blueprint.post("/confirm/passkey")
@sign_in_limit
def confirm() -> Response:
    """The same person is still at the browser."""
    actor = acting_visitor()
    passkeys.check(current_user.user)
    auth_sessions.confirm(current_session(), actor, current_user.auth_session, "passkey")
    current_session().commit()
    return redirect(next_page(), code=303)


@blueprint.errorhandler(SignInFailed)
@blueprint.errorhandler(LinkNotValid)
def refused(error: SignInFailed | LinkNotValid) -> tuple[str, int]:
    """The sign-in page, with what went wrong."""
    current_session().rollback()
    return render_template("sign_in.html", next="", problem=str(error)), 401
