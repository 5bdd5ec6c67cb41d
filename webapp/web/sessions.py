"""Who is signed in: the browser's cookie, the server-side session it names, and the actor of the request."""

import uuid
from collections.abc import Callable
from functools import wraps

from flask import Request, Response, g, redirect, request, url_for
from flask import session as form_cookie
from flask_login import LoginManager, UserMixin, current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.http import current_session, resources, take_share
from webapp.models import AuthSession
from webapp.services import auth_sessions
from webapp.services.actors import Actor
from webapp.services.errors import NotAllowed, Unauthorized
from webapp.services.guards import mark_authorized

login_manager = LoginManager()


class Visitor(UserMixin):  # type: ignore[misc]  # flask-login has no types
    """The signed-in user of this request, with the session that says so."""

    def __init__(self, auth_session: AuthSession) -> None:
        self.auth_session = auth_session
        self.user = auth_session.viewing or auth_session.user
        self.viewer = auth_session.user if auth_session.viewing else None

    def get_id(self) -> str:
        return str(self.auth_session.id)


def cookie_name() -> str:
    """The name of the cookie that holds the session's token."""
    return resources().settings.cookie_name("dbhost", "dbhost_session")


def load_visitor(incoming: Request) -> Visitor | None:
    """The visitor of the cookie, or None when it is missing, unknown, expired or revoked."""
    token = incoming.cookies.get(cookie_name())
    session = current_session()
    auth_session = auth_sessions.find(session, token) if token else None
    if session.dirty:
        session.commit()
    return Visitor(auth_session) if auth_session else None


login_manager.request_loader(load_visitor)


def require_visitor() -> BaseResponse | None:
    """Before each page: make the visitor the actor, or lead to the sign-in."""
    if not current_user.is_authenticated:
        return _to_sign_in()
    where = {"ip": request.remote_addr, "request_id": g.request_id}
    g.actor = Actor("user", current_user.user, viewer=current_user.viewer, **where)
    take_share()
    if current_user.viewer is not None and request.method not in ("GET", "HEAD"):
        raise NotAllowed("You are only looking. Stop viewing as this user to change something.")
    return None


def still(auth_session_id: uuid.UUID) -> Actor:
    """The visitor as they are now, for what lasts longer than a moment. Raises Unauthorized."""
    auth_session = current_session().get(AuthSession, auth_session_id, populate_existing=True)
    if auth_session is None or not auth_sessions.is_live(auth_session):
        raise Unauthorized("You are signed out. Sign in and try again.")
    visitor = Visitor(auth_session)
    return Actor("user", visitor.user, viewer=visitor.viewer)


def acting_visitor() -> Actor:
    """The visitor, on a page that is also for those who are signed out.

    Raises Unauthorized without one, and NotAllowed for an admin who looks as somebody else.
    """
    if not current_user.is_authenticated:
        raise Unauthorized("You are signed out. Sign in and try again.")
    if current_user.viewer is not None:
        raise NotAllowed("You are only looking. Stop viewing as this user to change something.")
    return Actor("user", current_user.user, ip=request.remote_addr, request_id=g.request_id)


def any_user[**P, R](view: Callable[P, R]) -> Callable[P, R]:
    """Mark a page that every signed-in user may see, since it shows nothing but what is their own."""

    @wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        mark_authorized()
        return view(*args, **kwargs)

    return wrapper


def remember(response: BaseResponse, token: str) -> None:
    """Give the browser the token of its new session."""
    config = resources().settings
    response.set_cookie(
        cookie_name(),
        token,
        max_age=config.session_lifetime_days * 86400,
        secure=config.https,
        httponly=True,
        samesite="Lax",
    )


def begin(token: str, address: str) -> BaseResponse:
    """Go on signed in. What the form's cookie held before is dropped, its CSRF token too."""
    form_cookie.clear()
    response = redirect(address, code=303)
    remember(response, token)
    return response


def forget(response: BaseResponse) -> None:
    """Take the cookie away; the server-side session is ended apart from that."""
    response.delete_cookie(cookie_name(), secure=resources().settings.https, httponly=True, samesite="Lax")


def _to_sign_in() -> BaseResponse:
    """A page leads to the sign-in and back, a part of a page takes its whole page there, a change is refused."""
    mark_authorized()
    if "HX-Request" in request.headers:
        return Response(status=401, headers={"HX-Redirect": url_for("auth.sign_in_form")})
    if request.method not in ("GET", "HEAD"):
        raise Unauthorized("You are signed out. Sign in and try again.")
    return redirect(url_for("auth.sign_in_form", next=request.full_path.rstrip("?")), code=303)
