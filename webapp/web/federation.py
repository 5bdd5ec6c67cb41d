"""Signing in, linking and confirming by an identity provider: out to it, and back."""

import time
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from flask_wtf.csrf import validate_csrf
from werkzeug.wrappers import Response
from wtforms import ValidationError

from webapp.http import current_session, public, resources
from webapp.limits import limit_mails, sign_in_limit
from webapp.services import accounts, auth_sessions, identities, mails, outbox
from webapp.services.errors import (
    AddressNotVerified,
    Conflict,
    InvalidRequest,
    NotAllowed,
    ProviderFailed,
    SignInFailed,
)
from webapp.web import providers
from webapp.web.accounts import somebody
from webapp.web.auth import next_page
from webapp.web.confirmation import require_recent
from webapp.web.providers import Provider
from webapp.web.second_step import enter
from webapp.web.sessions import acting_visitor

blueprint = Blueprint("federation", __name__, url_prefix="/sign-in")
INTENT = "identity_intent"


@blueprint.get("/<any(oidc, github, google, saml):name>")
@public
def start(name: str) -> Response:
    """Go to the provider: to sign in, or with `link` or `confirm` for somebody who is signed in."""
    provider = providers.find(name)
    purpose = next((word for word in ("link", "confirm") if word in request.args), "sign_in")
    if purpose != "sign_in":
        _check_sender(request.args[purpose])
    if purpose == "link":
        require_recent()
    session[INTENT] = {"purpose": purpose, "next": next_page(), "provider": name, "at": time.time()}
    redirect_uri = mails.link(url_for("federation.back", name=name))
    return _as_response(providers.leave(provider, redirect_uri, again=purpose == "confirm"))


@blueprint.get("/<any(oidc, github, google, saml):name>/callback")
@public
@sign_in_limit
def back(name: str) -> Response | tuple[str, int]:
    """Take what the provider says, once: state, nonce and verifier are in this browser's signed cookie."""
    provider = providers.find(name)
    intent = session.pop(INTENT, None) or {}
    if intent.get("provider") != name:
        raise ProviderFailed(f"Signing in by {provider.title} did not work. Try again.")
    claims = providers.claims(provider, asked_at=intent["at"] if intent["purpose"] == "confirm" else None)
    if intent["purpose"] == "link":
        return _link(provider, claims)
    if intent["purpose"] == "confirm":
        return _confirm(provider, claims, intent["next"])
    return _sign_in(provider, claims, intent["next"])


def _sign_in(provider: Provider, claims: identities.Claims, address: str) -> Response | tuple[str, int]:
    database_session = current_session()
    try:
        user = identities.sign_in(database_session, somebody(), claims)
    except AddressNotVerified:
        return _ask_by_mail(provider, claims)
    return enter(user, provider.name, address)


def _ask_by_mail(provider: Provider, claims: identities.Claims) -> tuple[str, int]:
    """The address has to be proven first; who has an account with it links the two when signed in."""
    if not claims.email:
        raise ProviderFailed(f"{provider.title} gave no address. Allow it to, and try again.")
    limit_mails(claims.email)
    mail = accounts.request_federated_sign_up(
        current_session(), somebody(), claims.email, claims.issuer, claims.subject, claims.may_sign_up
    )
    outbox.post(current_session(), mail)
    current_session().commit()
    by_file = resources().settings.smtp_url is None
    return render_template("accounts/sent.html", email=claims.email, outbox=by_file), 200


def _link(provider: Provider, claims: identities.Claims) -> Response:
    actor = acting_visitor()
    require_recent()
    try:
        identities.link(current_session(), actor, current_user.user, claims)
    except Conflict as error:
        current_session().rollback()
        flash(str(error), "error")
        return redirect(url_for("security_settings.index"), code=303)
    current_session().commit()
    flash(f"You can sign in by {provider.title} now.")
    return redirect(url_for("security_settings.index"), code=303)


def _confirm(provider: Provider, claims: identities.Claims, address: str) -> Response:
    actor = acting_visitor()
    known = identities.find(current_session(), claims.issuer, claims.subject)
    if known is None or known.user_id != current_user.user.id:
        raise SignInFailed("That was somebody else's identity.")
    auth_sessions.confirm(current_session(), actor, current_user.auth_session, provider.name)
    current_session().commit()
    return redirect(address, code=303)


@blueprint.errorhandler(ProviderFailed)
@blueprint.errorhandler(SignInFailed)
@blueprint.errorhandler(NotAllowed)
@blueprint.errorhandler(Conflict)
def not_in(error: Any) -> tuple[str, int]:
    """The sign-in page, with what went wrong."""
    current_session().rollback()
    return render_template("sign_in.html", next="", problem=str(error)), error.status


def _check_sender(token: str) -> None:
    """Linking starts from a page of ours alone: another site must not tie its visitor's account to an identity."""
    acting_visitor()
    try:
        validate_csrf(token)
    except ValidationError:
        raise InvalidRequest("This link is too old. Go back, reload the page and try again.") from None


def _as_response(response: Any) -> Response:
    response.status_code = 303
    return response  # type: ignore[no-any-return]
