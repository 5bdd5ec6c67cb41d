"""The second step of a sign-in, for those who have a second factor. Until it is done there is no session."""

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from webapp import devices
from webapp.http import current_session, public
from webapp.limits import count_failure, refuse_past, sign_in_limit
from webapp.models import OneTimeToken, User
from webapp.services import audit, auth_sessions, guards, one_time_tokens, second_factors
from webapp.services.actors import Actor
from webapp.services.errors import LinkNotValid, SignInFailed
from webapp.web.sessions import begin

blueprint = Blueprint("second_step", __name__, url_prefix="/sign-in")
TOKEN = "second_factor_token"  # noqa: S105  # the name of the cookie's field


def enter(user: User, method: str, address: str) -> Response:
    """Go on to *address* signed in, by way of the second step where the user has one."""
    if method == "passkey" or not second_factors.of_user(current_session(), user).any:
        return start(user, method, address)
    details = {"method": method, "next": address}
    session[TOKEN] = one_time_tokens.issue(current_session(), "second_factor", user=user, details=details)
    actor = Actor("user", user, ip=request.remote_addr)
    audit.record(current_session(), actor, "user.first_factor", user.email, details={"method": method})
    current_session().commit()
    return redirect(url_for("second_step.form"), code=303)


def start(user: User, method: str, address: str) -> Response:
    """A session of somebody who has proven all there is to prove."""
    signed_in = auth_sessions.start(
        current_session(), user, ip=request.remote_addr, user_agent=request.user_agent.string, method=method
    )
    current_session().commit()
    response = begin(signed_in.token, address)
    devices.remember(response, user.email)
    return response


@blueprint.get("/second-step")
@public
def form() -> str:
    """Ask for a code or a passkey."""
    return _page(pending().user)


@blueprint.post("/second-step")
@sign_in_limit
def check_code() -> Response | tuple[str, int]:
    """Take a code of the app, or a recovery code."""
    user = pending().user
    email = user.email if user else ""
    refuse_past(email)
    try:
        used = second_factors.check_code(current_session(), user, request.form.get("code", "")) if user else ""
    except SignInFailed as error:
        count_failure(email)
        return _page(user, problem=str(error)), 401
    return finish(used)


@blueprint.errorhandler(LinkNotValid)
def too_late(_error: LinkNotValid) -> Response:
    """The first step is too old, or there was none."""
    session.pop(TOKEN, None)
    guards.mark_refused()
    flash("That took too long. Sign in again.", "error")
    return redirect(url_for("auth.sign_in_form"), code=303)


def finish(used: str) -> Response:
    """Start the session that the first step asked for; the step is used up. Raises LinkNotValid."""
    found = one_time_tokens.use(current_session(), "second_factor", session.pop(TOKEN, ""))
    if found.user is None:
        raise LinkNotValid
    return start(found.user, f"{found.details['method']}+{used}", found.details["next"])


def pending() -> OneTimeToken:
    """The first step of this browser's sign-in. Raises LinkNotValid."""
    return one_time_tokens.look(current_session(), "second_factor", session.get(TOKEN, ""))


def pending_user() -> User | None:
    """Who is half-way through a sign-in in this browser, if anybody."""
    try:
        return pending().user
    except LinkNotValid:
        return None


def _page(user: User | None, problem: str | None = None) -> str:
    factors = second_factors.of_user(current_session(), user) if user else None
    return render_template("accounts/second_step.html", user=user, factors=factors, problem=problem)
