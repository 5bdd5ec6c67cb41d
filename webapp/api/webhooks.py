"""Webhook endpoints by the API: each key's own user's, with their delivery log."""

from collections.abc import Callable

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import changes, webhook_schemas
from webapp.api.auth import routes
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented, page_answer, pagination
from webapp.api.schemas import PageQuery, PostHeaders
from webapp.api.webhook_schemas import DeliveryPath, EndpointPath
from webapp.http import current_actor, current_session
from webapp.models import WebhookDelivery, WebhookEndpoint
from webapp.services import webhook_endpoints
from webapp.services.actors import Actor

api = routes("webhooks_api", "webhooks", "/webhooks")


@api.get("", responses=documented({200: webhook_schemas.EndpointList, 304: None}, 404))
def index() -> Response:
    """List your endpoints, the oldest first; never their secrets."""
    listed = webhook_endpoints.list_endpoints(current_session(), current_actor())
    return cacheable(webhook_schemas.EndpointList(data=[webhook_schemas.endpoint(row) for row in listed]))


@api.post("", responses=documented({201: webhook_schemas.EndpointWithSecret}, 404, 409, 413, 415, 422))
def create(header: PostHeaders, body: webhook_schemas.NewEndpoint) -> Response:
    """Add an endpoint; the answer has its secret, which is not shown again."""
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.whole_account)
    made = webhook_endpoints.create_endpoint(session, actor, body.url, list(body.events))
    response = answer(webhook_schemas.with_secret(made.endpoint, made.secret), 201)
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response


@api.get("/<id>", responses=documented({200: webhook_schemas.EndpointOut, 304: None}, 404))
def show(path: EndpointPath) -> Response:
    """Show an endpoint."""
    return cacheable(webhook_schemas.endpoint(_find(path)))


@api.patch("/<id>", responses=documented({200: webhook_schemas.EndpointOut}, 404, 413, 415, 422))
def change(path: EndpointPath, header: PostHeaders, body: webhook_schemas.EndpointChanges) -> Response:
    """Change the address or the events, disable the endpoint or enable it: then what waits is sent at once."""
    wanted = body.model_dump(exclude_unset=True)

    def make(session: Session, actor: Actor) -> Response:
        endpoint = _find(path)
        state = wanted.pop("state", endpoint.state)
        changes.nothing_changed()  # unless one of these says otherwise
        if wanted:
            webhook_endpoints.change_endpoint(session, actor, endpoint, **wanted)
        if state != endpoint.state:
            webhook_endpoints.set_state(session, actor, endpoint, state)
        session.flush()
        return answer(webhook_schemas.endpoint(endpoint))

    return changes.once(header, changes.whole_account, make)


@api.delete("/<id>", responses=documented({204: None}, 404, 409, 413, 422))
def delete(path: EndpointPath, header: PostHeaders) -> Response:
    """Delete an endpoint with its log and what waits for it."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        webhook_endpoints.delete_endpoint(session, actor, _find(path))
        return Response(status=204)

    return changes.once(header, changes.whole_account, make)


@api.post(
    "/<id>/rotate-secret", responses=documented({200: webhook_schemas.EndpointWithSecret}, 404, 409, 413, 415, 422)
)
def rotate_secret(path: EndpointPath, header: PostHeaders, body: webhook_schemas.Rotation) -> Response:
    """Replace the secret. The old one signs too for a day, so that a receiver has time to change."""
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.whole_account)
    made = webhook_endpoints.rotate_secret(session, actor, _find(path), keep_old=not body.end_old)
    response = answer(webhook_schemas.with_secret(made.endpoint, made.secret))
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response


@api.post("/<id>/test", responses=documented({202: webhook_schemas.DeliveryOut}, 404, 409, 413, 422))
def test(path: EndpointPath, header: PostHeaders) -> Response:
    """Send an event that says nothing, tried once."""
    require_no_fields()
    endpoint = _find(path)
    return _sent(header, lambda session: webhook_endpoints.send_test(session, current_actor(), endpoint))


@api.get("/<id>/deliveries", responses=documented({200: webhook_schemas.DeliveryList, 304: None}, 404))
def deliveries(path: EndpointPath, query: PageQuery) -> Response:
    """List the endpoint's messages of the last 30 days, newest first."""
    page = webhook_endpoints.list_deliveries(current_session(), _find(path), page=query.page, limit=query.limit)
    rows = [webhook_schemas.delivery(row) for row in page.items]
    return page_answer(webhook_schemas.DeliveryList(data=rows, pagination=pagination(page)), page)


@api.get("/<id>/deliveries/<delivery_id>", responses=documented({200: webhook_schemas.DeliveryDetail, 304: None}, 404))
def show_delivery(path: DeliveryPath) -> Response:
    """Show a message and each try to deliver it."""
    found = webhook_endpoints.find_delivery(current_session(), _find(path), path.delivery_id)
    return cacheable(webhook_schemas.detail(found))


@api.post(
    "/<id>/deliveries/<delivery_id>/resend",
    responses=documented({202: webhook_schemas.DeliveryOut}, 404, 409, 413, 422),
)
def resend(path: DeliveryPath, header: PostHeaders) -> Response:
    """Send a message now: one that waits is not waited for, one that ended goes once more."""
    require_no_fields()
    endpoint = _find(path)
    found = webhook_endpoints.find_delivery(current_session(), endpoint, path.delivery_id)
    return _sent(header, lambda session: webhook_endpoints.resend(session, current_actor(), endpoint, found))


def _find(path: EndpointPath) -> WebhookEndpoint:
    return webhook_endpoints.find_endpoint(current_session(), current_actor(), path.id)


def _sent(header: PostHeaders, send: Callable[[Session], WebhookDelivery]) -> Response:
    """Queue what *send* sends, once for each idempotency key."""
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.whole_account)
    delivery = send(session)
    session.refresh(delivery)
    response = answer(webhook_schemas.delivery(delivery), 202)
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response
