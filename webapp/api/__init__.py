"""The REST API: JSON routes over the services, described by OpenAPI."""

from flask_openapi.openapi import OpenAPI

from webapp.api import (
    allowlist,
    auth,
    backups,
    databases,
    deletions,
    docs,
    drift,
    events,
    health,
    hosts,
    invitations,
    member_credentials,
    members,
    moves,
    operations,
    stripe_events,
    transfers,
    user_events,
    waiting,
    webhooks,
)

APIS = (
    databases.api,
    deletions.api,
    backups.api,
    allowlist.api,
    members.api,
    member_credentials.api,
    invitations.api,
    invitations.own_api,
    transfers.api,
    moves.api,
    operations.api,
    events.api,
    health.api,
    drift.api,
    hosts.api,
    webhooks.api,
)


def register(app: OpenAPI) -> None:
    """Add the API's routes, its document and the probes to *app*."""
    waiting.init_app(app)
    app.after_request(auth.set_headers)
    for blueprint in APIS:
        app.register_api(blueprint)
    for plain in (health.probes, docs.pages, stripe_events.blueprint, user_events.blueprint):
        app.register_blueprint(plain)
