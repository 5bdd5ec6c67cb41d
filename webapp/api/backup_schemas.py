"""What the API takes and gives about backups, schedules, deleted databases and clones."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel

from webapp.api.schemas import Answer, Body, DisplayName, Name, OperationOut, Query, Whole, no_nul
from webapp.services.backup_schedules import EVERY_HOURS

Kind = Literal["manual", "scheduled", "final", "safety"]
Filename = Annotated[
    str,
    AfterValidator(no_nul),
    Field(json_schema_extra={"pattern": r"^\d{8}_\d{6}\.sql\.gz$"}, examples=["20261124_020000.sql.gz"]),
]


class BackupPath(BaseModel):
    id: uuid.UUID
    filename: Filename


class DeleteQuery(Query):
    skip_final_backup: bool = Field(False, description="Take no last backup: what is newer than the others is lost.")


class NewSchedule(Body):
    enabled: bool = True
    hour_utc: Whole = Field(2, ge=0, le=23, description="Daily backups begin in this hour.")
    every_hours: Whole = Field(24, json_schema_extra={"enum": list(EVERY_HOURS)})
    retention_days: Whole = Field(30, ge=1, le=3650)


class Protection(Body):
    enabled: bool


class Clone(Body):
    name: Name
    display_name: DisplayName
    filename: Filename | None = Field(None, description="The backup to take; left out: the database as it is now.")


class Undelete(Body):
    name: Name | None = Field(None, description="Another name, where the old one is taken meanwhile.")


class Message(Answer):
    message: str


class Started(Message):
    operation: OperationOut


class BackupOut(Answer):
    filename: str
    size_bytes: int
    size_pretty: str
    created_at: datetime
    kind: Kind
    sha256: str
    expires_at: datetime
    encrypted: bool
    proven_at: datetime | None = Field(description="When a drill last restored it and found all that was dumped.")


class BackupList(RootModel[list[BackupOut]]):
    """The finished backups, newest first."""


class ScheduleOut(Answer):
    enabled: bool
    hour_utc: int
    every_hours: int
    retention_days: int
    next_run_at: datetime | None
    last_proven_at: datetime | None
    last_proven: str | None = Field(description="The backup that was proven restorable last.")


class ProtectionOut(Answer):
    enabled: bool


class DeletedDatabase(Answer):
    id: uuid.UUID
    name: str
    display_name: str
    deleted_at: datetime
    expires_at: datetime
    backup: str
    final_backup: Literal["made", "pending", "failed"] = Field(
        description="Whether the last backup is made. Until then its host keeps the data aside, and tries again."
    )
    problem: str | None = Field(description="Why the last try of the final backup failed.")
    name_taken: bool


class DeletedList(Answer):
    data: list[DeletedDatabase]
