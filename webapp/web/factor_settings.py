"""Settings → Security: the authenticator app, passkeys and recovery codes of the signed-in user."""

import uuid
from collections.abc import Callable

import pyotp
import segno
from flask import Blueprint, flash, redirect, request, session, url_for
from flask_login import current_user
from markupsafe import Markup
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.services import mails, outbox, passkeys, second_factors
from webapp.services.errors import Conflict, LinkNotValid, ServiceError, SignInFailed, ValidationFailed
from webapp.web.confirmation import require_recent
from webapp.web.once import once
from webapp.web.passkeys import TOKEN, require_party
from webapp.web.security_settings import page

blueprint = Blueprint("factor_settings", __name__, url_prefix="/settings/security")


@blueprint.post("/totp")
def start_totp() -> str:
    """Show a new secret as a QR code."""
    require_recent()
    secret = second_factors.start_totp(current_session(), current_actor(), current_user.user)
    current_session().commit()
    return page(secret=secret, qr=qr_code(secret))


@blueprint.post("/totp/confirm")
@once
def confirm_totp() -> str | tuple[str, int]:
    """Let the app count once it has shown a code."""
    require_recent()
    try:
        codes = second_factors.confirm_totp(
            current_session(), current_actor(), current_user.user, request.form.get("code", "")
        )
    except ValidationFailed as error:
        current_session().rollback()
        secret = second_factors.pending_secret(current_session(), current_user.user)
        errors = error.errors or {}
        return page(secret=secret, qr=qr_code(secret) if secret else None, errors=errors), error.status
    return _done("an authenticator app was added", codes)


@blueprint.post("/totp/remove")
def remove_totp() -> Response:
    """Forget the app."""
    return _remove("the authenticator app was removed", second_factors.remove_totp)


@blueprint.post("/passkeys")
@once
def create_passkey() -> str | tuple[str, int]:
    """Keep the passkey that the browser has made."""
    require_recent()
    token, form = session.pop(TOKEN, ""), request.form
    try:
        _made, codes = passkeys.create(
            current_session(), current_actor(), require_party(), current_user.user,
            token, form.get("credential", ""), form.get("label", ""),
        )  # fmt: skip
    except (ValidationFailed, SignInFailed, LinkNotValid, Conflict) as error:
        return _refused(error)
    return _done("a passkey was added", codes)


@blueprint.post("/passkeys/<uuid:passkey_id>/remove")
def remove_passkey(passkey_id: uuid.UUID) -> Response:
    """Forget a passkey."""
    return _remove("a passkey was removed", passkeys.remove, passkey_id)


@blueprint.post("/recovery-codes")
@once
def new_codes() -> str | tuple[str, int]:
    """Show ten new ones; the old ones end."""
    require_recent()
    if not second_factors.of_user(current_session(), current_user.user).any:
        return _refused(Conflict("Recovery codes stand in for a second factor. Add one first."))
    codes = second_factors.new_codes(current_session(), current_actor(), current_user.user)
    return _done("new recovery codes were made", codes)


def qr_code(secret: str) -> Markup:
    """The secret as an authenticator app reads it; an SVG without any style of its own."""
    address = pyotp.TOTP(secret).provisioning_uri(name=current_user.user.email, issuer_name="DBHost")
    svg = segno.make(address, error="m").svg_inline(scale=4, border=2, omitsize=True, dark="#000", light="#fff")
    return Markup(svg)  # noqa: S704  # segno's own drawing: the address is in it as squares alone  # nosec B704


def _done(what: str, codes: list[str]) -> str:
    """Commit, tell the user by mail, and show the page, with the codes on this one answer."""
    outbox.post(current_session(), mails.ways_in_changed(current_user.user.email, what))
    current_session().commit()
    return page(codes=codes, done=what)


def _remove(what: str, remove: Callable[..., object], *which: uuid.UUID) -> Response:
    require_recent()
    remove(current_session(), current_actor(), current_user.user, *which)
    outbox.post(current_session(), mails.ways_in_changed(current_user.user.email, what))
    current_session().commit()
    flash(f"{what.capitalize()}.")
    return redirect(url_for("security_settings.index"), code=303)


def _refused(error: ServiceError) -> tuple[str, int]:
    current_session().rollback()
    status = 400 if isinstance(error, SignInFailed) else error.status
    return page(problem=str(error), errors=error.errors or {}), status
