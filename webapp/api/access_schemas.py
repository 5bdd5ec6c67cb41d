"""What the API takes and gives about who may reach a database: networks and members."""

import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from webapp.api.schemas import Answer, Body, no_nul, rule
from webapp.services.networks import MAX_CIDR, MAX_ENTRIES, MAX_LABEL, check_cidr, check_label

Level = Literal["admin", "developer", "viewer"]


class AllowlistEntry(Body):
    cidr: Annotated[
        str,
        Field(max_length=MAX_CIDR, json_schema_extra={"format": "cidr"}, examples=["203.0.113.0/24", "2001:db8::/32"]),
        AfterValidator(rule(check_cidr)),
    ]
    label: Annotated[
        str,
        AfterValidator(rule(check_label)),
        Field(json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$", "maxLength": MAX_LABEL}, examples=["Office"]),
    ] = ""


class NewAllowlist(Body):
    data: list[AllowlistEntry] = Field(
        max_length=MAX_ENTRIES, description="The whole list, no network twice; an empty one lets everybody connect."
    )


Email = Annotated[
    str,
    AfterValidator(no_nul),
    Field(max_length=254, json_schema_extra={"format": "email"}, examples=["bob@example.com"]),
]


class NewMember(Body):
    email: Email
    role: Level


class MemberChanges(Body):
    role: Level


class Network(Answer):
    cidr: str
    label: str


class Allowlist(Answer):
    data: list[Network] = Field(description="The networks that may connect; every network when there are none.")
    warnings: list[str] = Field(description="What to know about a list that lets in everybody.")


class MemberOut(Answer):
    id: uuid.UUID
    email: str
    role: Level


class MemberList(Answer):
    data: list[MemberOut]


class Credentials(Answer):
    """All that a client needs to connect."""

    host: str
    port: int
    direct_port: int
    database: str
    username: str
    password: str
    connection_string: str
    direct_connection_string: str


class OwnCredentials(Credentials):
    """A member's own way in; no other call shows the password."""
