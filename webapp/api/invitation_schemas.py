"""What the API takes and gives about invitations to a database, and about handing one over."""

import uuid
from datetime import UTC, datetime
from typing import Literal, cast

from pydantic import BaseModel, Field

from webapp.api.access_schemas import Email, Level
from webapp.api.schemas import Answer, Body
from webapp.models import Invitation

Offered = Literal["admin", "developer", "viewer", "owner"]


class InvitationPath(BaseModel):
    id: uuid.UUID
    invitation_id: uuid.UUID


class OwnInvitationPath(BaseModel):
    """`id` is the invitation's here."""

    id: uuid.UUID


class NewInvitation(Body):
    email: Email
    role: Level


class NewTransfer(Body):
    email: Email
    stay: bool = Field(True, description="Become an admin member then, instead of losing access.")


class InvitationOut(Answer):
    id: uuid.UUID
    email: str
    role: Level
    invited_by: str
    sent_at: datetime
    expires_at: datetime


class InvitationList(Answer):
    data: list[InvitationOut]


class TransferOut(Answer):
    email: str
    stay: bool
    sent_at: datetime
    expires_at: datetime


class OwnInvitation(Answer):
    id: uuid.UUID
    database: str
    display_name: str
    role: Offered
    invited_by: str
    expires_at: datetime


class OwnInvitationList(Answer):
    data: list[OwnInvitation]


def invitation(row: Invitation) -> InvitationOut:
    return InvitationOut(
        id=row.id,
        email=row.email,
        role=cast(Level, row.level),
        invited_by=row.invited_by.email,
        sent_at=row.sent_at.astimezone(UTC),
        expires_at=row.expires_at.astimezone(UTC),
    )


def transfer(row: Invitation) -> TransferOut:
    times = {"sent_at": row.sent_at.astimezone(UTC), "expires_at": row.expires_at.astimezone(UTC)}
    return TransferOut(email=row.email, stay=row.stays, **times)


def own(row: Invitation) -> OwnInvitation:
    return OwnInvitation(
        id=row.id,
        database=row.database.name,
        display_name=row.database.display_name,
        role=cast(Offered, row.level),
        invited_by=row.invited_by.email,
        expires_at=row.expires_at.astimezone(UTC),
    )
