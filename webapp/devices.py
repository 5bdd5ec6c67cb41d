"""Browsers that have signed in to an account before: strangers' wrong passwords do not shut them out."""

import secrets
from hashlib import sha256
from typing import Any

from flask import current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer

from webapp.http import resources

LIFETIME_S = 365 * 86400


def known(email: str) -> str | None:
    """This browser's number, when it has signed in as *email* before; nobody else can make its cookie."""
    try:
        account, number = _serializer().loads(request.cookies.get(_cookie_name(), ""), max_age=LIFETIME_S)
    except (BadData, ValueError, TypeError):
        return None
    return str(number) if account == account_mark(email) else None


def remember(response: Any, email: str) -> None:
    """Let this browser be known from now on: whoever uses it has just proven to be *email*."""
    response.set_cookie(
        _cookie_name(),
        _serializer().dumps([account_mark(email), known(email) or secrets.token_hex(8)]),
        max_age=LIFETIME_S,
        secure=resources().settings.https,
        httponly=True,
        samesite="Lax",
    )


def account_mark(email: str) -> str:
    """What stands for an address where the address itself should not."""
    return sha256(email.strip().lower().encode()).hexdigest()[:32]


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="known-device")


def _cookie_name() -> str:
    return resources().settings.cookie_name("dbhost-device", "dbhost_device")
