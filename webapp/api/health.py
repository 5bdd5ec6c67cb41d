"""How the installation is: probes for supervisors, metrics for Prometheus, health for people with a key."""

import ipaddress

import psycopg
from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.orm import Session

from webapp import schema_version
from webapp.api import figures, gauges
from webapp.api.auth import known_key, routes
from webapp.api.responses import answer, documented
from webapp.http import current_session, public, resources
from webapp.models import Database, Operation
from webapp.services import health
from webapp.services.errors import NotAllowed

api = routes("health_api", "health", "")
probes = Blueprint("probes", __name__)


@api.get("/health", responses=documented({200: figures.Health}))
@public
def show() -> Response:
    """Say whether all is well, with the hosts' figures. Any valid key may ask."""
    found = health.host_figures(current_session())
    is_healthy = bool(found) and all(host.is_healthy for host in found)
    hosts = [figures.of_host(host) for host in found]
    return answer(figures.Health(status="healthy" if is_healthy else "degraded", hosts=hosts))


@probes.get("/healthz")
@public
def alive() -> Response:
    """This process answers; nothing else is looked at."""
    return jsonify(status="ok")


@probes.get("/readyz")
@public
def ready() -> tuple[Response, int]:
    """This process can serve: the control database is there and has the schema that this code needs."""
    try:
        migrated = schema_version.is_current(resources().settings.database_url.get_secret_value())
    except psycopg.Error:
        return jsonify(status="unavailable", reason="The control database cannot be reached."), 503
    if not migrated:
        return jsonify(status="unavailable", reason="The control database's schema is not current."), 503
    return jsonify(status="ready"), 200


@probes.get("/metrics")
@public
def metrics() -> Response:
    """Figures for Prometheus, read from the control database, so equal in every web process.

    For a scraper on this machine, or with the API key of a platform admin.
    """
    if not _is_local() and not known_key().user.is_admin:
        raise NotAllowed("Metrics are for platform admins.")
    return Response(generate_latest(_registry(current_session())), content_type=CONTENT_TYPE_LATEST)


def _is_local() -> bool:
    """Whether the caller sits on this machine, and not behind a proxy that does."""
    proxied = "X-Forwarded-For" in request.headers and not resources().settings.trusted_proxies
    try:
        return not proxied and ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _registry(session: Session) -> CollectorRegistry:
    registry = CollectorRegistry()
    databases = Gauge("dbhost_databases", "Databases by status.", ["status"], registry=registry)
    for status, number in health.counts_by(session, Database.status, Database.deleted_at.is_(None)).items():
        databases.labels(status).set(number)
    operations = Gauge("dbhost_operations", "Operations by state.", ["state"], registry=registry)
    for state, number in health.counts_by(session, Operation.state).items():
        operations.labels(state).set(number)
    gauges.hosts(registry, health.host_figures(session))
    gauges.databases(registry, health.database_lines(session))
    return registry
