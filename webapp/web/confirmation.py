"""Confirming that it is still the same person at the browser, before a change that would hurt in other hands."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.db import give_back
from webapp.http import current_actor, current_session, resources
from webapp.limits import count_failure, refuse_past, sign_in_limit
from webapp.services import auth_sessions, guards, identities, second_factors
from webapp.services.errors import ConfirmationNeeded
from webapp.services.passwords import matches
from webapp.web import providers
from webapp.web.auth import next_page
from webapp.web.passkeys import party
from webapp.web.sessions import any_user

blueprint = Blueprint("confirmation", __name__, url_prefix="/confirm")


@blueprint.get("")
@any_user
def form() -> str:
    """Ask for the password."""
    return _page(request.args.get("next", ""))


@blueprint.post("")
@any_user
@sign_in_limit
def confirm() -> Response | tuple[str, int]:
    """Note that the person is there, and go back to where the change is made."""
    user, next_address = current_user.user, request.form.get("next", "")
    refuse_past(user.email)
    give_back(current_session())
    if not matches(user.password_hash, request.form.get("password", "")):
        count_failure(user.email)
        return _page(next_address, problem="The password is wrong."), 401
    auth_sessions.confirm(current_session(), current_actor(), current_user.auth_session, "password")
    current_session().commit()
    return redirect(next_page(), code=303)


def _page(next_address: str, problem: str | None = None) -> str:
    """Whatever way in the user has: the password, or a provider that knows them."""
    issuers = {identity.issuer for identity in identities.list_identities(current_session(), current_user.user)}
    usable = [each for each in providers.available(resources().settings).values() if each.issuer in issuers]
    has_passkey = bool(second_factors.of_user(current_session(), current_user.user).passkeys) and party() is not None
    context = {"providers": usable, "has_passkey": has_passkey}
    return render_template("accounts/confirm.html", next=next_address, problem=problem, **context)


def require_recent() -> None:
    """Raises ConfirmationNeeded unless the visitor has proven lately who they are."""
    if not auth_sessions.is_recent(current_user.auth_session):
        raise ConfirmationNeeded


def ask(_error: ConfirmationNeeded) -> Response:
    """Lead to the confirmation, and from there to the page that the change was asked on."""
    current_session().rollback()
    guards.mark_refused()
    back = request.full_path.rstrip("?") if request.method == "GET" else _page_of_the_form()
    if request.method != "GET":
        flash("Confirm that it is you, then do it again. Nothing was changed.", "error")
    return redirect(url_for("confirmation.form", next=back), code=303)


def _page_of_the_form() -> str:
    """The path of the page that sent the form, when it is one of ours."""
    referrer = request.referrer or ""
    return "/" + referrer.removeprefix(request.host_url) if referrer.startswith(request.host_url) else ""
