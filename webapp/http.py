"""HTTP for both kinds of route: the request's session and actor, and errors translated once."""

import re
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

import structlog
from flask import Flask, Response, current_app, g, jsonify, render_template, request
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.exceptions import HTTPException

from webapp.config import Settings
from webapp.db import AWAY, CommitLost, is_away, is_refusal
from webapp.permits import Shares
from webapp.services import guards
from webapp.services.actors import Actor
from webapp.services.errors import ServiceError, TooManyAtOnce, Unauthorized
from webapp.services.notices import Notices

log = structlog.get_logger()
API_PREFIX = "/api/"
WEBHOOKS_PREFIX = "/webhooks/"
# Of one user in this process. Changes wait for each other in the database anyway: few of them, or all time out there.
READING, CHANGES = Shares(4), Shares(2)
SHARE_PATIENCE_S = 30.0  # as long as a change may be waited for; who waits here holds nothing but a thread
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
UNREACHABLE = "The control database cannot be reached just now. Try again."
NOTHING_SAVED = "The control database cannot be reached just now. Nothing was changed; try again."
MAY_HAVE_SAVED = (
    "The control database was lost while your change was on its way. It may have been carried out: look before you "
    "repeat it."
)
CODES = {
    400: "INVALID_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 429: "RATE_LIMITED",
}  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What one web process holds open; `app.extensions["dbhost"]`."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    notices: Notices


def resources() -> Resources:
    return cast(Resources, current_app.extensions["dbhost"])


def current_session() -> Session:
    """The request's database session; what is not committed by the route is rolled back at its end."""
    if "session" not in g:
        take_share()
        g.session = resources().sessions()
    return cast(Session, g.session)


def take_share() -> None:
    """Let no user have more than their share of the process's connections; the others wait here, without one.

    Where requests of one user wait for each other in the database, those of everybody else go on.
    Raises TooManyAtOnce.
    """
    user = g.actor.user if "actor" in g else None
    if user is None or "share" in g:
        return
    share = ExitStack()
    shares = CHANGES if request.method in CHANGING else READING
    if share.enter_context(shares.of(user.id, SHARE_PATIENCE_S)) is None:
        share.close()
        raise TooManyAtOnce("Too many of your requests are under way at once. Try again in a moment.")
    g.share = share


def release_session() -> None:
    """Give the request's connection back before a long wait; the next use opens another.

    A connection that is lost is thrown away without a word: no answer that is ready may fail for it.
    """
    if "session" not in g:
        return
    session = g.pop("session")
    share = g.pop("share", None)
    g.saved = may_have_saved() or bool(session.info.get("committed"))
    try:
        session.close()
    except AWAY as error:
        log.warning("session_not_closed", error=type(error).__name__)
    finally:
        if share is not None:
            share.close()


def may_have_saved() -> bool:
    """Whether this request has saved something, or may have: then no error may say that nothing was changed."""
    return bool(g.get("saved")) or ("session" in g and bool(g.session.info.get("committed")))


def nothing_saved_yet() -> None:
    """What was saved so far (when a key was last used) is not what the caller asked for."""
    g.saved = False
    if "session" in g:
        g.session.info.pop("committed", None)


def current_actor() -> Actor:
    """Who asks; set by the API key or the signed-in session. Raises Unauthorized when nobody is."""
    if "actor" not in g:
        raise Unauthorized("Sign in first.")
    return cast(Actor, g.actor)


def public[**P, R](view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route as open to everyone on purpose, for the guard that looks for forgotten checks."""

    @wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        guards.mark_authorized()
        return view(*args, **kwargs)

    return wrapper


def is_api() -> bool:
    return request.path.startswith(API_PREFIX)


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: dict[str, list[str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The one error envelope of the API, a superset of RFC 9457."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    if errors:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status
    response.content_type = "application/problem+json"
    response.headers.update(headers or {})
    return response


def error_response(status: int, code: str, title: str, detail: str, **more: Any) -> Response:
    """The error as the caller reads it: a problem document for programs, a page for people."""
    program = is_api() or request.path.startswith(WEBHOOKS_PREFIX)
    if program or request.accept_mimetypes.best == "application/json":
        return problem(status, code, title, detail, **more)
    page = render_template("error.html", status=status, title=title, detail=detail, code=code)
    return Response(page, status=status, headers=more.get("headers"), mimetype="text/html")


def init_http(app: Flask, held: Resources) -> None:
    """Install sessions, request ids, error translation and, under test, the route guards."""
    app.extensions["dbhost"] = held
    app.before_request(_begin)
    app.after_request(_name_request)
    app.teardown_appcontext(_close)
    app.register_error_handler(ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(PoolTimeout, _database_error)
    app.register_error_handler(CommitLost, _database_error)
    app.register_error_handler(Exception, _unexpected)
    if held.settings.testing:
        app.after_request(require_marks)


def require_marks(response: Response) -> Response:
    """Raise when a route answered well without a permission check, or changed something without an audit event."""
    marks = g.marks
    if response.status_code >= 400 or request.endpoint == "static":
        return response
    if not marks.authorized:
        raise AssertionError(f"{request.method} {request.path} answered without an authorization check")
    if request.method in CHANGING and not marks.audited:
        raise AssertionError(f"{request.method} {request.path} changed something without an audit event")
    return response


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.marks = guards.begin()


def _name_request(response: Response) -> Response:
    if "request_id" in g:
        response.headers["X-Request-Id"] = g.request_id
    return response


def _close(_error: BaseException | None) -> None:
    release_session()


def _service_error(error: ServiceError) -> Response:
    more: dict[str, Any] = {"errors": error.errors} if is_api() else {}
    if error.status == 401 and is_api():
        more["headers"] = {"WWW-Authenticate": 'Bearer realm="dbhost"'}
    if isinstance(error, TooManyAtOnce):
        more["headers"] = {"Retry-After": "1"}
    return error_response(error.status, error.code, error.title, str(error), **more)


def _http_error(error: HTTPException) -> Response:
    if error.code is None or error.response is not None or 300 <= error.code < 400:
        return cast(Response, error.get_response())
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    code = CODES.get(error.code, "INVALID_REQUEST" if error.code < 500 else "INTERNAL_ERROR")
    return error_response(error.code, code, error.name, error.description or error.name, headers=headers)


def _database_error(error: DBAPIError | PoolTimeout | CommitLost) -> Response:
    """The control database is away. Whether anything was changed is said only where it is known."""
    if is_refusal(error):
        return _busy(error)
    if isinstance(error, DBAPIError) and not is_away(error):
        return _unexpected(error)
    reason = type(getattr(error, "orig", None)).__name__
    log.error("control_database_unavailable", request_id=g.get("request_id"), error=type(error).__name__, reason=reason)
    detail = MAY_HAVE_SAVED if may_have_saved() else NOTHING_SAVED if request.method in CHANGING else UNREACHABLE
    release_session()
    return error_response(503, "SERVICE_UNAVAILABLE", "Service unavailable", detail, headers={"Retry-After": "5"})


def _busy(error: Exception) -> Response:
    """A statement waited too long for what another transaction holds."""
    log.warning("lock_not_had", request_id=g.get("request_id"), path=request.path, error=type(error).__name__)
    changed = MAY_HAVE_SAVED if may_have_saved() else "Nothing was changed; try again."
    detail = f"Another change of the same thing is under way and takes its time. {changed}"
    release_session()
    return error_response(503, "SERVICE_UNAVAILABLE", "Service unavailable", detail, headers={"Retry-After": "1"})


def _unexpected(error: Exception) -> Response:
    if current_app.testing:
        raise error
    log.error("unexpected_error", request_id=g.get("request_id"), path=request.path, exc_info=error)
    detail = "Something went wrong here. It was logged under this request's X-Request-Id."
    return error_response(500, "INTERNAL_ERROR", "Internal error", detail)
