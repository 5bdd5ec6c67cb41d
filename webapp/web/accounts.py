"""Pages for people who are not signed in: a new account, a forgotten password, and links from mails."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from webapp import devices
from webapp.gateways.mail import Mail
from webapp.http import current_session, public, resources
from webapp.limits import limit_mails
from webapp.services import accounts, one_time_tokens, outbox
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, LinkNotValid, NotAllowed, ValidationFailed
from webapp.web.second_step import enter

blueprint = Blueprint("accounts", __name__)


@blueprint.get("/sign-up")
@public
def sign_up() -> str:
    """The form that asks for an address, or who may make an account here."""
    return render_template("accounts/sign_up.html", mode=resources().settings.sign_up)


@blueprint.post("/sign-up")
def request_sign_up() -> str | tuple[str, int]:
    """Send the link to finish the account; the answer is the same for every address."""
    accounts.require_sign_up(resources().settings.sign_up)
    return _send("accounts/sign_up.html", accounts.request_sign_up)


@blueprint.get("/sign-up/finish")
@public
def finish_form() -> str:
    """The form that asks for a password; opening the link does not use it up."""
    return _password_form("sign_up", "accounts/finish.html")


@blueprint.post("/sign-up/finish")
def finish_sign_up() -> Response | tuple[str, int]:
    """Make the account and sign in."""
    database_session, token = current_session(), request.form.get("token", "")
    try:
        user = accounts.finish_sign_up(database_session, somebody(), token, chosen_password())
    except ValidationFailed as error:
        return _password_form_again("sign_up", "accounts/finish.html", error)
    return enter(user, "sign_up", url_for("databases.index"))


@blueprint.get("/forgot-password")
@public
def forgot() -> str:
    """The form that asks for the address."""
    return render_template("accounts/forgot.html")


@blueprint.post("/forgot-password")
def request_reset() -> str | tuple[str, int]:
    """Send a link to a new password, if somebody has the address; the answer does not say."""
    return _send("accounts/forgot.html", accounts.request_reset)


@blueprint.get("/reset-password")
@public
def reset_form() -> str:
    """The form that asks for the new password."""
    return _password_form("reset_password", "accounts/reset.html")


@blueprint.post("/reset-password")
def reset_password() -> Response | tuple[str, int]:
    """Set the password and lead to the sign-in, where a second factor is asked for as always."""
    database_session, token = current_session(), request.form.get("token", "")
    try:
        user, told = accounts.reset_password(database_session, somebody(), token, chosen_password())
    except ValidationFailed as error:
        return _password_form_again("reset_password", "accounts/reset.html", error)
    outbox.post(database_session, told)
    database_session.commit()
    session.clear()
    flash("Password changed. Sign in with the new one.")
    response = redirect(url_for("auth.sign_in_form"), code=303)
    devices.remember(response, user.email)  # a way in for the owner, however often strangers have guessed
    return response


@blueprint.get("/change-email")
@public
def change_email_form() -> str:
    """A button, since mail programs open links by themselves."""
    found = one_time_tokens.look(current_session(), "change_email", request.args.get("token", ""))
    return render_template("accounts/change_email.html", email=found.email, token=request.args.get("token", ""))


@blueprint.post("/change-email")
def change_email() -> Response:
    """Give the account the address that the link proves."""
    _user, told = accounts.change_email(current_session(), somebody(), request.form.get("token", ""))
    outbox.post(current_session(), told)
    current_session().commit()
    flash("Your address is changed.")
    return redirect(url_for("settings.account"), code=303)


@blueprint.errorhandler(LinkNotValid)
def link_not_valid(error: LinkNotValid) -> tuple[str, int]:
    """What to do about a link that does not work."""
    return render_template("accounts/link_not_valid.html", problem=str(error)), error.status


@blueprint.errorhandler(NotAllowed)
def closed(error: NotAllowed) -> tuple[str, int]:
    """Who may make an account here."""
    return render_template("accounts/sign_up.html", mode=resources().settings.sign_up), error.status


@blueprint.errorhandler(Conflict)
def in_the_way(error: Conflict) -> tuple[str, int]:
    """Somebody else got the address meanwhile."""
    current_session().rollback()
    return render_template("accounts/link_not_valid.html", problem=str(error)), error.status


def somebody() -> Actor:
    """The actor of a request by nobody in particular."""
    return accounts.anonymous(request.remote_addr, g.request_id)


def _send(template: str, ask: Callable[[Any, Actor, str], Mail | None]) -> str | tuple[str, int]:
    """Ask for a mail to the typed address, and show the page that says it is on its way."""
    email = request.form.get("email", "")
    limit_mails(email)
    try:
        mail = ask(current_session(), somebody(), email)
    except ValidationFailed as error:
        context = {"email": email, "errors": error.errors or {}, "mode": resources().settings.sign_up}
        return render_template(template, **context), error.status
    if mail is not None:
        outbox.post(current_session(), mail)
    current_session().commit()
    return render_template("accounts/sent.html", email=email, outbox=resources().settings.smtp_url is None)


def _password_form(purpose: str, template: str, errors: dict[str, list[str]] | None = None) -> str:
    token = request.values.get("token", "")
    found = one_time_tokens.look(current_session(), purpose, token)
    email = found.user.email if found.user else found.email
    return render_template(template, email=email, token=token, errors=errors or {})


def _password_form_again(purpose: str, template: str, error: ValidationFailed) -> tuple[str, int]:
    """The form with its error; the rollback gives the link back."""
    current_session().rollback()
    return _password_form(purpose, template, error.errors), error.status


def chosen_password() -> str:
    """The password typed twice alike. Raises ValidationFailed."""
    chosen = request.form.get("password", "")
    if chosen != request.form.get("repeated", ""):
        raise ValidationFailed("The passwords differ.", errors={"repeated": ["This differs from the first."]})
    return chosen
