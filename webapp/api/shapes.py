"""Rows as the API shows them."""

from datetime import UTC, datetime
from typing import Any, cast

from webapp.api import access_schemas, schemas
from webapp.models import Database, Member, Operation, RunStep
from webapp.services import databases, networks, operations, storage

STORAGE_STATES: dict[str, schemas.StorageState] = {"open": "open", "read_only": "readOnly", "shut": "shut"}


def summary(row: Database) -> schemas.DatabaseSummary:
    return schemas.DatabaseSummary(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        status=cast(schemas.Status, row.status),
        size_bytes=row.size_bytes,
        created_at=_utc(row.created_at),
    )


def detail(row: Database) -> schemas.DatabaseDetail:
    """A database with how to reach it; never the password."""
    return schemas.DatabaseDetail(
        **summary(row).model_dump(),
        host=row.host.public_host,
        port=row.host.pgbouncer_port,
        direct_port=row.host.pgbouncer_direct_port,
        database=row.name,
        username=row.name,
        storage_state=STORAGE_STATES[row.storage_state],
        storage_limit_bytes=storage.usage(row).limit_bytes,
        connection_limits=schemas.ConnectionLimits(
            total=row.connection_limit, pooled=row.pool_size, direct=row.direct_pool_size
        ),
    )


def created(operation: Operation) -> schemas.CreatedDatabase:
    """The new database of an operation, with the password and connection string that it made."""
    row, known = operation.database, databases.credentials_of_operation(operation)
    return schemas.CreatedDatabase(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        host=known.host,
        port=known.port,
        direct_port=known.direct_port,
        database=known.database,
        username=known.username,
        password=known.password,
        status=cast(schemas.Status, row.status),
        connection_string=known.connection_string,
        direct_connection_string=known.direct_connection_string,
    )


def allowlist(row: Database) -> access_schemas.Allowlist:
    """The networks that may connect, in order."""
    listed = [access_schemas.Network(cidr=str(entry.cidr), label=entry.label) for entry in row.allowlist]
    return access_schemas.Allowlist(data=listed, warnings=networks.warnings(entry.cidr for entry in row.allowlist))


def member(row: Member) -> access_schemas.MemberOut:
    return access_schemas.MemberOut(id=row.id, email=row.user.email, role=cast(access_schemas.Level, row.level))


def operation(row: Operation) -> schemas.OperationOut:
    return schemas.OperationOut(**_operation_fields(row))


def operation_detail(row: Operation) -> schemas.OperationDetail:
    """An operation with the steps of its newest run."""
    steps = [step(one) for one in row.run.steps] if row.run else []
    return schemas.OperationDetail(**_operation_fields(row), steps=steps)


def step(row: RunStep) -> schemas.Step:
    return schemas.Step(
        number=row.number,
        name=row.name,
        state=cast(Any, row.state),
        started_at=_utc(row.started_at),
        ended_at=_utc_or_none(row.ended_at),
    )


def _operation_fields(row: Operation) -> dict[str, Any]:
    progress = operations.progress(row)
    error = None
    if row.error_code is not None:
        error = schemas.OperationError(code=row.error_code, message=row.error_message, step=row.error_step)
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "database_id": row.database_id,
        "database": row.database.name,
        "requested_by": row.actor_type,
        "progress": schemas.OperationProgress(**vars(progress)),
        "error": error,
        "changes": row.changes,
        "attempt": row.attempt,
        "cancel_requested_at": _utc_or_none(row.cancel_requested_at),
        "created_at": _utc(row.created_at),
        "started_at": _utc_or_none(row.started_at),
        "ended_at": _utc_or_none(row.ended_at),
    }


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _utc_or_none(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
