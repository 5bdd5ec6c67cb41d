"""The web app: dashboard and REST API over the same services. It holds no key and no way to a host."""

from flask import Flask

from webapp import api, limits, uploads, web
from webapp.api.openapi import make_app
from webapp.config import Settings, settings
from webapp.db import make_engine, make_sessions
from webapp.gateways import mail
from webapp.http import Resources, init_http
from webapp.services.notices import Notices


def create_app(config: Settings | None = None) -> Flask:
    """Build the app from *config* (the environment's settings by default)."""
    chosen = config or settings()
    app = make_app()
    app.config.update(
        SECRET_KEY=chosen.secret_key.get_secret_value(),
        TESTING=chosen.testing,
        MAX_CONTENT_LENGTH=chosen.max_body_bytes,
        SESSION_COOKIE_SECURE=chosen.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_NAME=chosen.cookie_name("dbhost-form", "dbhost_form"),
    )
    mail.check(chosen)
    url = chosen.database_url.get_secret_value()
    engine = make_engine(url, patience_s=chosen.database_timeout_s)
    init_http(app, Resources(chosen, engine, make_sessions(engine), Notices(url)))
    limits.init_app(app)
    uploads.init_app(app)
    api.register(app)
    web.register(app)
    return app
