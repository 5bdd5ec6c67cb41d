"""How the API's answers are made and documented: JSON, pages with links, problems."""

from typing import Any

from flask import Response, request, url_for
from pydantic import BaseModel

from webapp.api.schemas import Pagination
from webapp.services.paging import Page

REVALIDATE = "private, no-cache"
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
TITLES = {
    304: "Not modified", 400: "Invalid request", 401: "No API key, or a wrong one", 403: "Not with this key or plan",
    404: "Not there, or not yours", 409: "In conflict with what is there", 413: "Body over the limit",
    415: "Body is not JSON", 416: "The file has no such range",
    422: "Idempotency-Key came with another body", 429: "Too many requests",
    500: "The operation failed on the host", 503: "The host or the control database cannot be reached",
}  # fmt: skip
ALWAYS = (400, 401, 403, 429, 503)


def problems(*statuses: int) -> dict[str | int, Any]:
    """The documented error answers: those that every call has, and *statuses*."""
    return {status: {"description": TITLES[status], "content": PROBLEM} for status in sorted({*ALWAYS, *statuses})}


def documented(success: dict[int, Any], *statuses: int) -> dict[Any, Any]:
    """A route's answers for the OpenAPI document."""
    return {**success, **problems(*statuses)}


def answer(model: BaseModel, status: int = 200) -> Response:
    """*model* as JSON, with the field names of the API."""
    return Response(model.model_dump_json(by_alias=True), status=status, content_type="application/json")


def cacheable(model: BaseModel) -> Response:
    """*model* as JSON with an ETag: 304 when the caller has just that."""
    response = answer(model)
    response.headers["Cache-Control"] = REVALIDATE
    response.add_etag()
    response.make_conditional(request)
    return response


def page_answer(model: BaseModel, page: Page[Any]) -> Response:
    """One page, with links to its neighbours (RFC 8288)."""
    response = cacheable(model)
    wanted = {"first": 1, "prev": page.page - 1, "next": page.page + 1, "last": page.pages}
    links = [f'<{_address(number)}>; rel="{rel}"' for rel, number in wanted.items() if 1 <= number <= page.pages]
    response.headers["Link"] = ", ".join(links)
    return response


def pagination(page: Page[Any]) -> Pagination:
    return Pagination(page=page.page, limit=page.limit, total=page.total)


def _address(page: int) -> str:
    values: dict[str, Any] = {**request.args.to_dict(), "page": str(page)}
    return url_for(request.endpoint or "", **(request.view_args or {}), **values)
