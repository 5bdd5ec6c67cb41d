"""Events of the user-sync webhook as they arrive: the signature before anything is parsed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from standardwebhooks import Webhook, WebhookVerificationError

from webapp.services.errors import InvalidRequest

log = structlog.get_logger(__name__)
HEADERS = ("id", "timestamp", "signature")
TYPES = ("user.created", "user.updated", "user.deleted")


@dataclass(frozen=True)
class UserEvent:
    """One event. `verified` is None when the provider says nothing about it."""

    id: str
    type: str
    at: datetime
    subject: str
    email: str | None
    verified: bool | None


class _Address(BaseModel):
    id: str
    email_address: str
    verification: dict[str, Any] | None = None


class _User(BaseModel):
    """The two shapes in use: one address, or a list of them with the primary one's id."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, max_length=255)
    email: str | None = Field(None, max_length=254)
    email_verified: bool | None = None
    email_addresses: list[_Address] | None = None
    primary_email_address_id: str | None = None
    updated_at: int | float | str | None = None

    @model_validator(mode="before")
    @classmethod
    def subject_by_either_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "id" not in values and "sub" in values:
            return values | {"id": values["sub"]}
        return values


def verify(payload: bytes, headers: Mapping[str, str], secrets: str) -> dict[str, Any]:
    """The event's JSON, once it is signed by one of *secrets* and not older or newer than five minutes.

    Takes the headers of Standard Webhooks and those of Svix. Raises InvalidRequest for whatever is wrong.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    given = {name: lower.get(f"webhook-{name}") or lower.get(f"svix-{name}") or "" for name in HEADERS}
    named = {f"webhook-{name}": value for name, value in given.items()}
    for secret in secrets.split():
        try:
            Webhook(secret).verify(payload, named, json_parse=False)
            parsed = json.loads(payload)
        except (WebhookVerificationError, ValueError, RecursionError):
            continue
        if isinstance(parsed, dict):
            return parsed | {"_id": given["id"], "_timestamp": given["timestamp"]}
    log.warning("user_sync_event_refused")
    raise InvalidRequest("The signature does not match, or it is not of now.")


def read(parsed: dict[str, Any]) -> UserEvent | None:
    """What is needed of a verified event; None for a type that is not ours. Raises InvalidRequest."""
    if parsed.get("type") not in TYPES:
        return None
    try:
        user = _User.model_validate(parsed.get("data"))
        at = _time(user.updated_at or parsed.get("timestamp") or float(parsed["_timestamp"]))
    except (ValidationError, ValueError, OverflowError, OSError):
        raise InvalidRequest("The event is not one that can be read.") from None
    email, verified = _address(user)
    if "\x00" in f"{user.id}{email}{parsed['_id']}":
        raise InvalidRequest("The event is not one that can be read.")
    return UserEvent(parsed["_id"], parsed["type"], at, user.id, email, verified)


def _address(user: _User) -> tuple[str | None, bool | None]:
    if user.email_addresses is None:
        return user.email, user.email_verified
    chosen = user.primary_email_address_id
    for address in user.email_addresses:
        if address.id == chosen or chosen is None:
            return address.email_address, (address.verification or {}).get("status") == "verified"
    return None, False


def _time(value: float | str) -> datetime:
    """Seconds, milliseconds or ISO 8601."""
    if isinstance(value, str):
        parsed = datetime.fromisoformat(value)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
