"""Settings: the signed-in user's webhook endpoints, and what was sent there."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models import WebhookEndpoint
from webapp.services import guards, webhook_endpoints
from webapp.services.errors import Conflict, ValidationFailed
from webapp.services.webhook_endpoints import NewSecret
from webapp.services.webhooks import EVENTS, TEST_EVENT
from webapp.web.confirmation import require_recent
from webapp.web.once import once
from webapp.web.requests import existing, page_number

blueprint = Blueprint("webhooks", __name__, url_prefix="/settings/webhooks")

NAMES = {**EVENTS, TEST_EVENT: "A test"}


@blueprint.get("")
def index() -> str:
    """The endpoints, and the form for another."""
    return _list_page()


@blueprint.post("")
@once
def create() -> str | tuple[str, int]:
    """Add an endpoint and show its secret on this one answer."""
    require_recent()
    session, form = current_session(), request.form
    try:
        made = webhook_endpoints.create_endpoint(session, current_actor(), form.get("url", ""), form.getlist("events"))
    except (ValidationFailed, Conflict) as error:
        session.rollback()
        return _list_page(error=error), error.status
    session.commit()
    return _list_page(made=made)


@blueprint.get("/<uuid:endpoint_id>")
def show(endpoint_id: uuid.UUID) -> str:
    """One endpoint, its settings and its log."""
    return _endpoint_page(_find(endpoint_id))


@blueprint.post("/<uuid:endpoint_id>")
def change(endpoint_id: uuid.UUID) -> Response | tuple[str, int]:
    """Another address, or other events."""
    endpoint, form = _find(endpoint_id), request.form
    try:
        webhook_endpoints.change_endpoint(
            current_session(), current_actor(), endpoint, url=form.get("url", ""), events=form.getlist("events")
        )
    except ValidationFailed as error:
        current_session().rollback()
        return _endpoint_page(_find(endpoint_id), errors=error.errors), error.status
    return _done(endpoint_id, "Endpoint changed")


@blueprint.post("/<uuid:endpoint_id>/rotate")
@once
def rotate(endpoint_id: uuid.UUID) -> str:
    """Another secret, shown on this one answer; the old one signs too for a day unless the form says otherwise."""
    require_recent()
    keep_old = not request.form.get("end_old")
    made = webhook_endpoints.rotate_secret(current_session(), current_actor(), _find(endpoint_id), keep_old=keep_old)
    current_session().commit()
    return _endpoint_page(made.endpoint, made=made)


@blueprint.post("/<uuid:endpoint_id>/<any(enable, disable):change>")
def set_state(endpoint_id: uuid.UUID, change: str) -> Response:
    """Send nothing more, or go on with what waits."""
    state = "active" if change == "enable" else "disabled"
    webhook_endpoints.set_state(current_session(), current_actor(), _find(endpoint_id), state)
    return _done(endpoint_id, f"Endpoint {change}d")


@blueprint.post("/<uuid:endpoint_id>/test")
@once
def test(endpoint_id: uuid.UUID) -> Response:
    """Send an event that says nothing."""
    try:
        webhook_endpoints.send_test(current_session(), current_actor(), _find(endpoint_id))
    except Conflict as error:
        return _refused(endpoint_id, error)
    return _done(endpoint_id, "A test is on its way")


@blueprint.get("/<uuid:endpoint_id>/delete")
def confirm_delete(endpoint_id: uuid.UUID) -> str:
    """The confirmation, as a page of its own without JavaScript."""
    return render_template("webhooks/confirm.html", endpoint=_find(endpoint_id))


@blueprint.post("/<uuid:endpoint_id>/delete")
def delete(endpoint_id: uuid.UUID) -> Response:
    """Remove an endpoint with its log."""
    webhook_endpoints.delete_endpoint(current_session(), current_actor(), _find(endpoint_id))
    current_session().commit()
    flash("Endpoint deleted")
    return redirect(url_for("webhooks.index"), code=303)


@blueprint.get("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>")
def show_delivery(endpoint_id: uuid.UUID, delivery_id: uuid.UUID) -> str:
    """One message and each try to deliver it."""
    endpoint = _find(endpoint_id)
    delivery = webhook_endpoints.find_delivery(current_session(), endpoint, delivery_id)
    return render_template("webhooks/delivery.html", endpoint=endpoint, delivery=delivery, names=NAMES)


@blueprint.post("/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/resend")
def resend(endpoint_id: uuid.UUID, delivery_id: uuid.UUID) -> Response:
    """Send a message now."""
    session, endpoint = current_session(), _find(endpoint_id)
    found = webhook_endpoints.find_delivery(session, endpoint, delivery_id)
    try:
        sent = webhook_endpoints.resend(session, current_actor(), endpoint, found)
    except Conflict as error:
        return _refused(endpoint_id, error)
    session.commit()
    flash("The message is on its way")
    return redirect(url_for("webhooks.show_delivery", endpoint_id=endpoint_id, delivery_id=sent.id), code=303)


def _find(endpoint_id: uuid.UUID) -> WebhookEndpoint:
    return webhook_endpoints.find_endpoint(current_session(), current_actor(), endpoint_id)


def _done(endpoint_id: uuid.UUID, told: str) -> Response:
    current_session().commit()
    flash(told)
    return redirect(url_for("webhooks.show", endpoint_id=endpoint_id), code=303)


def _refused(endpoint_id: uuid.UUID, error: Conflict) -> Response:
    current_session().rollback()
    flash(str(error), "error")
    guards.mark_refused()
    return redirect(url_for("webhooks.show", endpoint_id=endpoint_id), code=303)


def _list_page(made: NewSecret | None = None, error: ValidationFailed | Conflict | None = None) -> str:
    listed = webhook_endpoints.list_endpoints(current_session(), current_actor())
    events = webhook_endpoints.events_for(current_user.user)
    return render_template("webhooks/index.html", endpoints=listed, events=events, made=made, error=error)


def _endpoint_page(endpoint: WebhookEndpoint, **context: Any) -> str:
    """The page of one endpoint; *context* adds a new secret or the errors of the form."""
    page = existing(webhook_endpoints.list_deliveries(current_session(), endpoint, page=page_number()))
    context = {"errors": {}, "made": None, **context, "events": webhook_endpoints.events_for(current_user.user)}
    return render_template("webhooks/show.html", endpoint=endpoint, page=page, names=NAMES, **context)
