"""What protects the pages in a browser: the content security policy, the other headers, and CSRF."""

import secrets
from typing import cast

from flask import Response, g, request
from flask_wtf.csrf import CSRFProtect
from secure import (
    CacheControl,
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    CrossOriginResourcePolicy,
    PermissionsPolicy,
    ReferrerPolicy,
    Secure,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)

from webapp.http import is_api, resources

csrf = CSRFProtect()
FOR_GOOD = "public, max-age=31536000, immutable"


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
        for name, value in _headers().headers.items():
            response.headers.setdefault(name, value)
        if request.endpoint == "static" and "v" in request.args and response.status_code < 400:
            response.headers["Cache-Control"] = FOR_GOOD
    return response


def _headers() -> Secure:
    return Secure(
        cache=CacheControl().no_store(),
        coop=CrossOriginOpenerPolicy().same_origin(),
        corp=CrossOriginResourcePolicy().same_origin(),
        csp=_policy(),
        hsts=StrictTransportSecurity().max_age(63072000) if resources().settings.https else None,
        permissions=PermissionsPolicy().geolocation().microphone().camera().payment(),
        referrer=ReferrerPolicy().same_origin(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
    )


def _policy() -> ContentSecurityPolicy:
    """Scripts by nonce only, everything else from this origin only, and HTML only through htmx's own policy."""
    return (
        ContentSecurityPolicy()
        .default_src("'none'")
        .script_src(f"'nonce-{csp_nonce()}'")
        .style_src("'self'")
        .img_src("'self'")
        .font_src("'self'")
        .connect_src("'self'")
        .form_action("'self'")
        .base_uri("'none'")
        .frame_ancestors("'none'")
        .require_trusted_types_for("'script'")
        .trusted_types("htmx")
    )
