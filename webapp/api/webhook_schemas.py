"""What the API takes and gives about webhooks."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from webapp.api.figures import utc
from webapp.api.schemas import Answer, Body, Pagination, no_defaults, no_nul
from webapp.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

Event = Literal["database.created", "database.deleted", "backup.failed", "storage.warning", "host.unhealthy"]
Events = Annotated[
    list[Event], Field(min_length=1, max_length=5, description="`host.unhealthy` is for platform admins.")
]
Url = Annotated[
    str,
    AfterValidator(no_nul),
    Field(max_length=2000, json_schema_extra={"pattern": r"^[^\x00]*$"}, examples=["https://example.com/hook"]),
]


class EndpointPath(BaseModel):
    id: uuid.UUID


class DeliveryPath(EndpointPath):
    delivery_id: uuid.UUID


class NewEndpoint(Body):
    url: Url
    events: Events


class EndpointChanges(Body):
    """What is to change; a field that is not sent stays as it is."""

    model_config = {"json_schema_extra": no_defaults}

    url: Url = ""
    events: Events = Field(default_factory=list)
    state: Literal["active", "disabled"] = "active"


class Rotation(Body):
    end_old: bool = Field(False, description="The old secret ends at once; otherwise both sign for a day.")


class EndpointOut(Answer):
    id: uuid.UUID
    url: str
    events: list[str]
    state: Literal["active", "disabled"]
    disabled_reason: str | None = Field(description="Why we disabled it; null when you did.")
    failing_since: datetime | None
    old_secret_ends_at: datetime | None = Field(description="Until then the old secret signs too.")
    created_at: datetime


class EndpointWithSecret(EndpointOut):
    secret: str = Field(description="Shown this once.")


class EndpointList(Answer):
    data: list[EndpointOut]


class DeliveryOut(Answer):
    id: uuid.UUID
    message_id: str = Field(description="The header `webhook-id`, the same in every try.")
    event: str
    state: Literal["queued", "succeeded", "failed"]
    attempt: int
    status_code: int | None
    error: str | None
    next_attempt_at: datetime | None = Field(description="Null once it has ended.")
    created_at: datetime
    ended_at: datetime | None


class AttemptOut(Answer):
    number: int
    at: datetime
    status_code: int | None
    error: str | None
    took_ms: int
    response: str = Field(description="The beginning of the answer, without what looks like a secret.")


class DeliveryDetail(DeliveryOut):
    payload: dict[str, Any]
    attempts: list[AttemptOut]


class DeliveryList(Answer):
    data: list[DeliveryOut]
    pagination: Pagination


def endpoint(row: WebhookEndpoint) -> EndpointOut:
    return EndpointOut(
        id=row.id, url=row.url, events=row.events, state=row.state, disabled_reason=row.disabled_reason,
        failing_since=utc(row.failing_since), old_secret_ends_at=utc(row.previous_secret_until),
        created_at=utc(row.created_at),
    )  # fmt: skip


def with_secret(row: WebhookEndpoint, secret: str) -> EndpointWithSecret:
    return EndpointWithSecret(**endpoint(row).model_dump(), secret=secret)


def delivery(row: WebhookDelivery) -> DeliveryOut:
    return DeliveryOut(
        id=row.id, message_id=row.message_id, event=row.event, state=row.state, attempt=row.attempt,
        status_code=row.status_code, error=row.error,
        next_attempt_at=utc(row.next_attempt_at) if row.state == "queued" else None,
        created_at=utc(row.created_at), ended_at=utc(row.ended_at),
    )  # fmt: skip


def detail(row: WebhookDelivery) -> DeliveryDetail:
    attempts = [_attempt(one) for one in row.attempts]
    return DeliveryDetail(**delivery(row).model_dump(), payload=row.payload, attempts=attempts)


def _attempt(row: WebhookAttempt) -> AttemptOut:
    return AttemptOut(
        number=row.number, at=utc(row.at), status_code=row.status_code, error=row.error, took_ms=row.took_ms,
        response=row.response,
    )  # fmt: skip
