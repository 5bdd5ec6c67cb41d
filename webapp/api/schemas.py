"""What the API takes and gives, field by field; the OpenAPI document is made from these models."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from webapp.services.errors import ValidationFailed
from webapp.services.names import PATTERN, RESERVED, RESERVED_PREFIX, check_display_name, check_name

Status = Literal["creating", "active", "stopped", "deleting", "error", "restoring"]
StorageState = Literal["open", "readOnly", "shut"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
# At least one visible character and no control characters; the service's own rule is the last word.
VISIBLE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"


def rule(check: Callable[[str], str]) -> Callable[[str], str]:
    """A service's check as a validator, so that every wrong field is named at once and in the same words."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except ValidationFailed as error:
            words = " ".join(word for said in (error.errors or {}).values() for word in said)
            raise PydanticCustomError("rule", "{words}", {"words": words or str(error)}) from None

    return validate


def _digits(value: Any) -> Any:
    """Only plain digits are a number in an address: not `+1`, `1.0` or `1_000`."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 10):
        raise PydanticCustomError("digits", "Use a whole number.")
    return value


def no_nul(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("nul", "NUL is not allowed.")
    return value


NAME_SCHEMA: dict[str, Any] = {
    "pattern": f"^{PATTERN.pattern}$",
    "minLength": 3,
    "maxLength": 50,
    "not": {"anyOf": [{"enum": sorted(RESERVED)}, {"pattern": f"^{RESERVED_PREFIX}"}]},
}
Name = Annotated[str, AfterValidator(rule(check_name)), Field(json_schema_extra=NAME_SCHEMA, examples=["shop"])]
DisplayName = Annotated[
    str,
    AfterValidator(rule(check_display_name)),
    Field(json_schema_extra={"pattern": VISIBLE, "minLength": 1, "maxLength": 100}, examples=["My shop"]),
]


def _no_default(schema: dict[str, Any]) -> None:
    """A value that is not sent is not the same, to a reader of the document, as one that is empty."""
    schema.pop("default", None)


def no_defaults(schema: dict[str, Any]) -> None:
    """The same for every field of a body."""
    for field in schema["properties"].values():
        _no_default(field)


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 4.0 is as whole as 4."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


class Body(BaseModel):
    """A request's body: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)


class NewDatabase(Body):
    name: Name
    display_name: DisplayName


class DatabaseChanges(Body):
    """What is to change; a field that is not sent stays as it is."""

    model_config = ConfigDict(json_schema_extra=no_defaults)

    display_name: DisplayName = ""


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class PageQuery(Query):
    page: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_digits)] = 1
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_digits)] = 20


class DatabaseQuery(PageQuery):
    search: Annotated[
        str,
        Field(max_length=100, description="A part of either name.", json_schema_extra={"pattern": r"^[^\x00]*$"}),
        AfterValidator(no_nul),  # after the length, which is else told in words for lists
    ] = ""
    status: Annotated[Status | None, WithJsonSchema({"enum": list(get_args(Status))})] = None


class OperationQuery(PageQuery):
    state: Annotated[State | None, WithJsonSchema({"enum": list(get_args(State))})] = None
    database_id: Annotated[uuid.UUID | None, WithJsonSchema({"type": "string", "format": "uuid"})] = None


class DatabasePath(BaseModel):
    id: uuid.UUID


class MemberPath(BaseModel):
    id: uuid.UUID
    member_id: uuid.UUID


class OperationPath(BaseModel):
    id: uuid.UUID


class ChangeHeaders(BaseModel):
    prefer: str = Field(
        "", alias="Prefer", description="`respond-async` and `wait=n` (RFC 7240).", json_schema_extra=_no_default
    )


class PostHeaders(ChangeHeaders):
    idempotency_key: str = Field(
        "",
        alias="Idempotency-Key",
        max_length=255,
        pattern=r"^[\x21-\x7e]*$",
        description="The same key and body give the first answer again, for a day.",
        json_schema_extra=_no_default,
    )


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class DatabaseSummary(Answer):
    id: uuid.UUID
    name: str
    display_name: str
    status: Status
    size_bytes: int
    created_at: datetime


class ConnectionLimits(Answer):
    """How many connections the database has at most, for its owner and its members together."""

    total: int = Field(description="In PostgreSQL: both doors, dumps and restores.")
    pooled: int = Field(description="Transactions under way at once at `port`; the next one waits 30 seconds.")
    direct: int = Field(description="Sessions open at once at `directPort`; the next one waits 10 seconds.")


class DatabaseDetail(Answer):
    id: uuid.UUID
    name: str
    display_name: str
    host: str
    port: int = Field(description="The pooled door: connections are shared between transactions.")
    direct_port: int = Field(description="The direct door: each connection is a session of its own.")
    database: str
    username: str
    status: Status
    size_bytes: int
    storage_state: StorageState = Field(
        description="`readOnly` over the plan's storage; `shut` when it grew all the same: open it to clean up."
    )
    storage_limit_bytes: int
    connection_limits: ConnectionLimits
    created_at: datetime


class CreatedDatabase(Answer):
    id: uuid.UUID
    name: str
    display_name: str
    host: str
    port: int = Field(description="The pooled door: connections are shared between transactions.")
    direct_port: int = Field(description="The direct door: each connection is a session of its own.")
    database: str
    username: str
    password: str
    status: Status
    connection_string: str = Field(description="For the pooled door.")
    direct_connection_string: str = Field(
        description="For the direct door: migrations, pg_dump, LISTEN, session settings."
    )


class NewPassword(Answer):
    password: str


class RepairedOwnership(Answer):
    name: str
    status: Literal["repaired"] = "repaired"
    message: str


class Pagination(Answer):
    page: int
    limit: int
    total: int


class DatabaseList(Answer):
    data: list[DatabaseSummary]
    pagination: Pagination


class OperationProgress(Answer):
    step: int = Field(description="The step under way, or the last one; 0 before the run begins.")
    steps_total: int
    step_name: str | None
    bytes_done: int | None = Field(description="Of a long operation's present step, where it counts bytes.")
    bytes_total: int | None


class OperationError(Answer):
    code: str
    message: str | None
    step: str | None


class OperationOut(Answer):
    id: uuid.UUID
    kind: str
    state: State
    database_id: uuid.UUID
    database: str = Field(description="The name of the database.")
    requested_by: Literal["user", "api_key", "system"]
    progress: OperationProgress
    error: OperationError | None
    changes: list[str] | None = Field(description="What was changed on the host, without secrets.")
    attempt: int
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Step(Answer):
    number: int
    name: str
    state: Literal["running", "ok", "changed", "skipped", "failed", "unreachable"]
    started_at: datetime
    ended_at: datetime | None


class OperationDetail(OperationOut):
    steps: list[Step] = Field(description="The log: each step of the newest run.")


class OperationList(Answer):
    data: list[OperationOut]
    pagination: Pagination


class Problem(BaseModel):
    """Every error, a superset of RFC 9457; `code` is the stable word."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: dict[str, list[str]] | None = None
