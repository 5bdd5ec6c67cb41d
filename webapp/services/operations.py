"""Operations: queued with the change they carry out, listed, cancelled, retried."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.models import Database, Host, Operation
from webapp.models.databases import GENERATIONS
from webapp.services import access, audit, doorbell, final_backups, long_operations
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, DatabaseNotFound, OperationInProgress, OperationNotFound
from webapp.services.guards import mark_authorized
from webapp.services.paging import Page, paginate

UNCANCELLABLE = {
    "database.storage_limit": "What follows from the storage limit",
    "database.clean_up": "What follows from the storage limit",
    "database.members": "A change of members' credentials",
}
ONE_OPEN = "uq_operations_open_database"


@dataclass(frozen=True)
class Progress:
    """Step *step* of *steps_total*, both 0 before the run begins."""

    step: int
    steps_total: int
    step_name: str | None
    bytes_done: int | None = None
    bytes_total: int | None = None


def enqueue(
    session: Session,
    kind: str,
    database: Database,
    actor: Actor,
    params: dict[str, Any] | None = None,
    *,
    lane: str = "converge",
    host: Host | None = None,
) -> Operation:
    """Add an operation for the database's current generation, on its host or *host*, and ring its doorbell.

    A database may have one open operation in each lane: a backup does not hold up a new password.
    Raises OperationInProgress when another one on this database has not ended (a unique index says so).
    """
    where = host or database.host
    operation = Operation(
        id=uuid.uuid4(), kind=kind, lane=lane, database_id=database.id, database=database, host_id=where.id,
        host=where, generation=database.generation, params=params or {}, actor_type=actor.type,
        actor_user_id=actor.user.id if actor.user else None,
        actor_api_key_id=actor.api_key.id if actor.api_key else None, request_id=actor.request_id,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(operation)
    except IntegrityError as error:
        if ONE_OPEN in str(error.orig):
            raise OperationInProgress("Another operation on this database has not ended yet.") from None
        raise
    doorbell.ring_for(session, operation)
    return operation


def require_idle(session: Session, database: Database, *, besides: Operation | None = None) -> None:
    """Raises OperationInProgress when anything is under way for the database, whose row the caller holds."""
    query = select(Operation.id).where(Operation.database_id == database.id, Operation.state.in_(("queued", "running")))
    if besides is not None:
        query = query.where(Operation.id != besides.id)
    if session.scalars(query.limit(1)).first() is not None:
        raise OperationInProgress("Another operation on this database has not ended yet.")


def list_operations(
    session: Session,
    actor: Actor,
    *,
    page: int = 1,
    limit: int = 20,
    database_id: uuid.UUID | None = None,
    state: str | None = None,
) -> Page[Operation]:
    """Operations on what the actor may see (also on deleted databases), newest first."""
    query = select(Operation).join(Database, Operation.database_id == Database.id).where(access.visible(actor))
    if database_id is not None:
        query = query.where(Operation.database_id == database_id)
    if state is not None:
        query = query.where(Operation.state == state)
    return paginate(session, query.order_by(Operation.created_at.desc(), Operation.id), page=page, limit=limit)


def find_operation(session: Session, actor: Actor, operation_id: uuid.UUID, permission: str = "view") -> Operation:
    """The operation as it is now, for whoever has *permission* on its database. Raises OperationNotFound."""
    mark_authorized()
    query = select(Operation).where(Operation.id == operation_id).execution_options(populate_existing=True)
    operation = session.scalar(query)
    if operation is None or not access.allows(actor, operation.database, permission):
        raise OperationNotFound
    return operation


def progress(operation: Operation) -> Progress:
    """How far the operation is, by the run that carries it."""
    run = operation.run
    if run is None:
        return Progress(0, 0, None)
    return Progress(run.step, run.steps_total, run.step_name, run.bytes_done, run.bytes_total)


def cancel_operation(session: Session, actor: Actor, operation_id: uuid.UUID) -> Operation:
    """Cancel a queued operation at once, or ask the worker to stop a running one.

    Cancelled is not undone: what already happened on the host stays. Raises Conflict when it has ended.
    """
    operation = find_operation(session, actor, operation_id, "operate")
    if operation.kind in UNCANCELLABLE:
        raise Conflict(f"{UNCANCELLABLE[operation.kind]} cannot be cancelled.")
    if operation.kind == "database.reset_password":
        raise Conflict("A password reset cannot be cancelled: the old password is already given up. Reset it again.")
    now = datetime.now(UTC)
    queued = update(Operation).where(Operation.id == operation.id, Operation.state == "queued", Operation.attempt == 0)
    running = update(Operation).where(Operation.id == operation.id, Operation.state.in_(("queued", "running")))
    if _changed(session, queued.values(state="cancelled", ended_at=now, cancel_requested_at=now)):
        _take_back(session, operation)
    elif not _changed(session, running.values(cancel_requested_at=func.coalesce(Operation.cancel_requested_at, now))):
        raise Conflict("The operation has already ended.")
    audit.record(session, actor, "operation.cancel", operation.kind, database=operation.database, operation=operation)
    session.refresh(operation)
    return operation


def retry_operation(session: Session, actor: Actor, operation_id: uuid.UUID) -> Operation:
    """Queue a failed or cancelled operation again. Raises Conflict when it is neither or was overtaken."""
    operation = find_operation(session, actor, operation_id, "operate")
    database = operation.database
    if database.deleted_at is not None:
        raise DatabaseNotFound
    if operation.lane == "converge" and database.generation != operation.generation:
        raise Conflict("A later operation has changed this database since. Ask for the change again.")
    ended = update(Operation).where(Operation.id == operation.id, Operation.state.in_(("failed", "cancelled")))
    values: dict[str, Any] = dict.fromkeys(("fence", "cancel_requested_at", "ended_at", "error_code", "error_message"))
    try:
        with session.begin_nested():
            again = _changed(
                session, ended.values(state="queued", attempt=0, next_attempt_at=func.now(), error_step=None, **values)
            )
    except IntegrityError:
        raise OperationInProgress("Another operation on this database has not ended yet.") from None
    if not again:
        raise Conflict("Only a failed or cancelled operation can be retried.")
    if operation.lane == "long":
        long_operations.retried(session, operation)
    audit.record(session, actor, "operation.retry", operation.kind, database=database, operation=operation)
    doorbell.ring_for(session, operation)
    session.refresh(operation)
    return operation


def _take_back(session: Session, operation: Operation) -> None:
    if operation.lane == "long":
        session.refresh(operation)
        long_operations.ended(session, operation)
    else:
        _undo(session, operation)


def _undo(session: Session, operation: Operation) -> None:
    """Take back the desired state of an operation that never reached a host; a creation leaves nothing behind.

    The state taken back is a generation of its own, so that a retry does not converge it in the operation's name.
    """
    database = operation.database
    if operation.kind == "database.undelete":
        _stay_deleted(database, operation.params["before"])
        final_backups.put_aside(session, database)
    elif operation.kind == "database.create":
        database.deleted_at, database.desired_state = datetime.now(UTC), "absent"
        database.verifier = database.password_encrypted = None
    else:
        database.desired_state = operation.params["previous_state"]
        database.status = operation.params["previous_status"]
        database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    if operation.kind == "database.delete":
        final_backups.forget(session, database, "The deletion was cancelled.")
    if operation.kind == "database.allowlist":
        listed = operation.params["previous_allowlist"]
        database.replace_allowlist({ip_network(cidr): label for cidr, label in listed.items()})


def _stay_deleted(database: Database, before: dict[str, Any]) -> None:
    """A return that never began: the database is deleted as before, and its final backup still to be made."""
    database.name, database.deleted_at = before["name"], datetime.fromisoformat(before["deleted_at"])
    database.status, database.desired_state = "deleting", "absent"


def _changed(session: Session, statement: Any) -> bool:
    return session.execute(statement.returning(Operation.id)).first() is not None
