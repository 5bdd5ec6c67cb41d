"""Signing in and out."""

from urllib.parse import urlsplit

from flask import Blueprint, g, make_response, redirect, render_template, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_session, public
from webapp.limits import count_failure, refuse_past, sign_in_limit
from webapp.services import auth_sessions, viewing
from webapp.services.actors import Actor
from webapp.services.errors import SignInFailed, Unauthorized
from webapp.web.second_step import enter
from webapp.web.sessions import forget

LONGEST_ADDRESS = 1000  # it may go into a cookie
blueprint = Blueprint("auth", __name__)


@blueprint.get("/sign-in")
@public
def sign_in_form() -> Response | str:
    """The form, or straight on for those who are signed in."""
    if current_user.is_authenticated:
        return redirect(next_page())
    return render_template("sign_in.html", next=request.args.get("next", ""))


@blueprint.post("/sign-in")
@sign_in_limit
def sign_in() -> Response | tuple[str, int]:
    """Start a session. What the form's cookie held before is dropped, its CSRF token too."""
    email, password = request.form.get("email", ""), request.form.get("password", "")
    refuse_past(email)
    try:
        user = auth_sessions.check_password(current_session(), email, password)
    except SignInFailed as error:
        count_failure(email)
        return render_template("sign_in.html", email=email, next=request.form.get("next", ""), problem=str(error)), 401
    return enter(user, "password", next_page())


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """End this browser's session on the server, then forget its cookie. An admin who only looks may go too."""
    if not current_user.is_authenticated:
        raise Unauthorized("You are signed out already.")
    user = current_user.viewer or current_user.user
    actor = Actor("user", user, ip=request.remote_addr, request_id=g.request_id)
    viewing.end(current_session(), actor, current_user.auth_session)
    auth_sessions.revoke(current_session(), actor, current_user.auth_session.id)
    current_session().commit()
    session.clear()
    response = make_response(redirect(url_for("auth.sign_in_form"), code=303))
    forget(response)
    return response


def next_page() -> str:
    """Where the person wanted to go, when that is a path of ours and nobody else's site."""
    wanted = request.values.get("next", "")
    parts = urlsplit(wanted)
    own = (
        len(wanted) <= LONGEST_ADDRESS
        and wanted.startswith("/")
        and not wanted.startswith(("//", "/\\"))
        and not parts.netloc
        and not parts.scheme
    )
    return wanted if own else url_for("databases.index")
