"""Differences between hosts and what they should be, by the API; for platform admins."""

import uuid
from datetime import UTC, datetime
from typing import Literal, cast

from flask import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from webapp.api import changes, schemas, shapes
from webapp.api.auth import routes
from webapp.api.changes import carry_out
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import Answer, PostHeaders
from webapp.http import current_actor, current_session
from webapp.models import Difference
from webapp.services import differences
from webapp.services.actors import Actor

api = routes("drift_api", "drift", "/drift")


class DifferencePath(BaseModel):
    id: uuid.UUID


class DifferenceOut(Answer):
    id: uuid.UUID
    kind: Literal["database", "files", "stranger"]
    subject: str = Field(description="The database's name; or where a stranger is, and what it is called.")
    database_id: uuid.UUID | None
    sentences: list[str] = Field(description="What a converge would do, or what was found. No secret is in them.")
    repairable: bool
    since: datetime
    ignored_at: datetime | None
    ignored_by: str | None


class HostDrift(Answer):
    host: str
    checked_at: datetime | None = Field(description="Null before the first check.")
    error: str | None = Field(description="What the last check could not see.")
    differences: list[DifferenceOut]


class Drift(Answer):
    data: list[HostDrift]


@api.get("", responses=documented({200: Drift, 304: None}, 404))
def index() -> Response:
    """List every host with what differs from the desired state, as of its last check."""
    hosts = differences.by_host(current_session(), current_actor())
    return cacheable(
        Drift(
            data=[
                HostDrift(
                    host=host.name,
                    checked_at=host.checked_at and host.checked_at.astimezone(UTC),
                    error=host.error,
                    differences=[_shape(one) for one in host.differences],
                )
                for host in hosts
            ]
        )
    )


@api.post(
    "/<id>/repair",
    responses=documented({200: schemas.OperationOut, 202: schemas.OperationOut}, 404, 409, 413, 415, 422, 500),
)
def repair(path: DifferencePath, header: PostHeaders) -> Response:
    """Queue an ordinary converge that makes it what it should be. Strangers are left alone: 409."""
    require_no_fields()
    return carry_out(
        header,
        changes.platform_admin,
        lambda session, actor: differences.repair(session, actor, path.id),
        lambda operation: answer(shapes.operation(operation)),
    )


@api.post("/<id>/ignore", responses=documented({200: DifferenceOut}, 404, 413, 415, 422))
def ignore(path: DifferencePath, header: PostHeaders) -> Response:
    """Say nothing more about this difference until it changes."""
    require_no_fields()
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.platform_admin)
    response = _noted(session, actor, path, ignored=True)
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response


@api.delete("/<id>/ignore", responses=documented({200: DifferenceOut}, 404, 409, 413, 422))
def notice(path: DifferencePath, header: PostHeaders) -> Response:
    """Take an *ignore* back."""
    require_no_fields()
    return changes.once(
        header, changes.platform_admin, lambda session, actor: _noted(session, actor, path, ignored=False)
    )


def _noted(session: Session, actor: Actor, path: DifferencePath, *, ignored: bool) -> Response:
    change = differences.ignore if ignored else differences.notice
    return answer(_shape(change(session, actor, path.id)))


def _shape(row: Difference) -> DifferenceOut:
    return DifferenceOut(
        id=row.id,
        kind=cast(Literal["database", "files", "stranger"], row.kind),
        subject=row.subject,
        database_id=row.database_id,
        sentences=[str(sentence) for sentence in row.sentences],
        repairable=row.repairable,
        since=row.since.astimezone(UTC),
        ignored_at=row.ignored_at and row.ignored_at.astimezone(UTC),
        ignored_by=row.ignored_by,
    )
