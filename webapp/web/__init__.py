"""The dashboard: HTML pages for people over the same services as the API."""

from flask import Blueprint, Flask
from flask_wtf.csrf import CSRFError

from webapp.services.errors import ConfirmationNeeded
from webapp.web import (
    accounts,
    activity,
    admin,
    allowlist,
    auth,
    backups,
    billing,
    changes,
    confirmation,
    databases,
    deletions,
    factor_settings,
    federation,
    formatting,
    invitations,
    invited,
    member_credentials,
    members,
    moves,
    once,
    operations,
    pages,
    passkey_sign_in,
    passkeys,
    providers,
    saml,
    second_step,
    security,
    security_settings,
    sessions,
    settings,
    transfers,
    viewing,
    webhooks,
)
from webapp.web.assets import asset_url

SIGNED_IN: tuple[Blueprint, ...] = (
    databases.blueprint,
    changes.blueprint,
    backups.blueprint,
    deletions.blueprint,
    allowlist.blueprint,
    members.blueprint,
    invitations.blueprint,
    invited.signed_in,
    transfers.blueprint,
    member_credentials.blueprint,
    moves.blueprint,
    operations.blueprint,
    activity.blueprint,
    settings.blueprint,
    billing.blueprint,
    webhooks.blueprint,
    *admin.BLUEPRINTS,
    security_settings.blueprint,
    factor_settings.blueprint,
    confirmation.blueprint,
)
SIGNED_OUT: tuple[Blueprint, ...] = (
    auth.blueprint,
    accounts.blueprint,
    invited.signed_out,
    federation.blueprint,
    passkeys.blueprint,
    second_step.blueprint,
    passkey_sign_in.blueprint,
    viewing.blueprint,
)

# Once, at import: a blueprint takes no more hooks after an app has registered it, and tests build several apps.
for _blueprint in SIGNED_IN:
    _blueprint.before_request(sessions.require_visitor)
    _blueprint.register_error_handler(ConfirmationNeeded, confirmation.ask)
for _blueprint in (*SIGNED_IN, *SIGNED_OUT):
    _blueprint.before_request(security.check_csrf)
    _blueprint.register_error_handler(CSRFError, pages.form_too_old)


def register(app: Flask) -> None:
    """Add the pages, their session and CSRF checks, their headers and template helpers to *app*."""
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None)
    security.csrf.init_app(app)
    sessions.login_manager.init_app(app)
    app.after_request(security.set_headers)
    app.jinja_env.globals.update(asset_url=asset_url, csp_nonce=security.csp_nonce)
    app.jinja_env.globals["form_token"] = once.form_token
    formatting.register(app)
    providers.register(app)
    app.jinja_env.globals["passkeys_possible"] = lambda: passkeys.party() is not None
    for blueprint in (*SIGNED_IN, *SIGNED_OUT, pages.blueprint, saml.blueprint):
        app.register_blueprint(blueprint)
