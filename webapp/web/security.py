"""What protects the pages in a browser: the content security policy, the other headers, and CSRF."""

import secrets
from typing import cast

from flask import Response, g, request
from flask_wtf.csrf import CSRFProtect

from webapp.http import is_api, resources

csrf = CSRFProtect()
FOR_GOOD = "public, max-age=31536000, immutable"
# Scripts by nonce only, everything else from this origin only, and HTML only through htmx's own policy.
POLICY = "; ".join((
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types htmx",
))  # fmt: skip
FIXED_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def check_csrf() -> None:
    """Refuse a change without this browser's token. Only pages need it: API keys are not sent by browsers."""
    csrf.protect()


def csp_nonce() -> str:
    """This response's nonce: scripts and htmx attributes without it do nothing."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(18)
    return cast(str, g.csp_nonce)


def set_headers(response: Response) -> Response:
    """Add the security headers to every page and asset; the API's routes bring their own."""
    if not is_api():
        for name, value in _headers().items():
            response.headers.setdefault(name, value)
        if request.endpoint == "static" and "v" in request.args and response.status_code < 400:
            response.headers["Cache-Control"] = FOR_GOOD
    return response


def _headers() -> dict[str, str]:
    found = FIXED_HEADERS | {"Content-Security-Policy": f"{POLICY}; script-src 'nonce-{csp_nonce()}'"}
    if resources().settings.https:
        found["Strict-Transport-Security"] = "max-age=63072000"
    return found
