"""What the browser is asked about passkeys: the options it needs, each good for one answer."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Blueprint, Response, request, session
from flask_login import current_user

from webapp.http import current_session, public, resources
from webapp.models import User
from webapp.services import passkeys
from webapp.services.errors import InvalidRequest
from webapp.services.passkeys import Asked, RelyingParty
from webapp.web.second_step import pending_user
from webapp.web.sessions import acting_visitor

blueprint = Blueprint("passkeys", __name__, url_prefix="/passkeys")
TOKEN = "passkey_token"  # noqa: S105  # the name of the cookie's field


@blueprint.get("/create-options")
@public
def create_options() -> Response:
    """For a new passkey of the signed-in user."""
    acting_visitor()
    return _answer(passkeys.ask_to_create(current_session(), require_party(), current_user.user))


@blueprint.get("/sign-options")
@public
def sign_options() -> Response:
    """For one of the user's, when they are known: signed in, or half-way through a sign-in."""
    return _answer(passkeys.ask_to_sign(current_session(), require_party(), known_user()))


def check(user: User | None) -> User:
    """Whose passkey signed the posted answer. Raises SignInFailed or LinkNotValid."""
    token, credential = session.pop(TOKEN, ""), request.form.get("credential", "")
    return passkeys.check(current_session(), require_party(), user, token, credential)


def known_user() -> User | None:
    """The signed-in user, the one half-way through a sign-in, or nobody."""
    return current_user.user if current_user.is_authenticated else pending_user()


def party() -> RelyingParty | None:
    """What passkeys are bound to here; browsers know none for an IP address, but `localhost` is a name."""
    base = resources().settings.base_url
    host = urlsplit(base).hostname or ""
    if not _is_address(host):
        return RelyingParty(host, base.rstrip("/"))
    here = urlsplit(request.host_url)
    if here.hostname == "localhost" and ip_address(host).is_loopback:
        return RelyingParty("localhost", f"{here.scheme}://{here.netloc}")
    return None


def require_party() -> RelyingParty:
    """Raises InvalidRequest where there can be no passkeys."""
    found = party()
    if found is None:
        raise InvalidRequest("Passkeys need a name: open this installation by one, and set DBHOST_WEB_URL to it.")
    return found


def _answer(asked: Asked) -> Response:
    current_session().commit()
    session[TOKEN] = asked.token
    return Response(asked.options, mimetype="application/json")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
