"""How operations end: one conditional UPDATE of the operation under its fence, with the database's status beside it."""

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Update, case, func, select, update
from sqlalchemy.orm import Session

from webapp.models import Database, Operation, Run
from webapp.services import drift, final_backups, long_operations, webhooks
from webapp.worker import retries
from webapp.worker.report import Failure

DONE_STATUS = {"present": "active", "stopped": "stopped"}
# These leave a database as it was when they fail; after any other failure it is not as it should be.
HARMLESS = ("database.repair_ownership",)
TOLD = {
    "database.create": "database.created",
    "database.delete": "database.deleted",
    "database.undelete": "database.created",
}
LOST = Failure("AGENT_ERROR", "The worker carrying this operation died several times.", retryable=False)


def succeed(session: Session, operation: Operation, fence: int, changes: list[str]) -> bool:
    """Record that the host has what the operation wanted. False when *fence* is no longer its own."""
    if not _succeeded(session, operation, fence, changes):
        return False
    database = operation.database
    drift.converged(session, database.id)
    if database.desired_state == "absent":
        # What is kept aside can come back with its password.
        kept = final_backups.put_aside(session, database)
        secrets: dict[str, Any] = {} if kept else {"verifier": None, "password_encrypted": None}
        gone = {"deleted_at": func.now(), "applied_generation": operation.generation}
        _set_database(session, database.id, **gone, **secrets)
    else:
        final_backups.forget(session, database, "The database is there again.")
        status = DONE_STATUS[database.desired_state]
        _set_database(session, database.id, status=status, applied_generation=operation.generation)
    if operation.kind in TOLD:
        webhooks.publish(session, TOLD[operation.kind], database=database)
    return True


def succeed_long(
    session: Session, operation: Operation, fence: int, changes: list[str], record: Callable[[Session], None]
) -> bool:
    """Record that a long operation is done, and what it brought. False when *fence* is no longer its own."""
    if not _succeeded(session, operation, fence, changes):
        return False
    record(session)
    session.refresh(operation)
    long_operations.ended(session, operation)
    return True


def fail(session: Session, operation: Operation, fence: int, failure: Failure) -> bool:
    """Record a failure that a retry would not mend. False when *fence* is no longer its own."""
    ended = _under(operation, fence).values(state="failed", ended_at=func.now(), **_error(failure))
    if not _changed(session, ended):
        return False
    _mark_error(session, operation)
    return True


def put_off(session: Session, operation: Operation, fence: int, failure: Failure) -> bool:
    """Queue the operation again for later, saying why; False when *fence* is no longer its own."""
    later = func.now() + retries.delay(operation.attempt)
    return _changed(session, _under(operation, fence).values(**_queued(later), **_error(failure)))


def hand_back(session: Session, operation: Operation, fence: int) -> bool:
    """Queue the operation again at once: its run was ended for a reason that was not its own."""
    again = _under(operation, fence).values(**_queued(func.now()), attempt=Operation.attempt - 1)
    return _changed(session, again)


def refund(session: Session, operation_id: uuid.UUID, fence: int) -> None:
    """Give back the attempt under *fence*, which somebody took over though its worker lives: it killed nobody."""
    mine = update(Operation).where(
        Operation.id == operation_id,
        Operation.state.in_(("queued", "running")),
        Operation.fence.is_distinct_from(fence),
        Operation.attempt > 1,
    )
    session.execute(mine.values(attempt=Operation.attempt - 1))


def cancel(session: Session, operation: Operation, fence: int) -> bool:
    """Record a cancel that was in time. What the run has done stays; False when *fence* is no longer its own."""
    if not _changed(session, _under(operation, fence).values(state="cancelled", ended_at=func.now())):
        return False
    _mark_error(session, operation)
    return True


def cancel_requested(session: Session, host_id: uuid.UUID) -> None:
    """Cancel what was asked to be cancelled while no run carried it (waiting for a retry, or left behind)."""
    asked = update(Operation).where(
        Operation.host_id == host_id,
        Operation.lane == "converge",
        Operation.state.in_(("queued", "running")),
        Operation.cancel_requested_at.is_not(None),
    )
    _end(session, asked.values(state="cancelled", ended_at=func.now()))


def give_up_on_orphans(session: Session, host_id: uuid.UUID) -> None:
    """Fail what has been left behind too often: it may be what kills its worker."""
    often = update(Operation).where(
        Operation.host_id == host_id,
        Operation.lane == "converge",
        Operation.state == "running",
        Operation.attempt >= most_attempts(),
    )
    _end(session, often.values(state="failed", ended_at=func.now(), **_error(LOST)))


def reached(session: Session, host_id: uuid.UUID) -> None:
    """The host has answered: what waits because it could not be reached is due now."""
    waiting = update(Operation).where(
        Operation.host_id == host_id,
        Operation.state == "queued",
        Operation.error_code == retries.UNREACHABLE,
        Operation.next_attempt_at > func.now(),
    )
    session.execute(waiting.values(next_attempt_at=func.now()))


def most_attempts() -> ColumnElement[int]:
    """How often an operation is tried: most tries of one whose host was out of reach killed nobody."""
    unreachable = Operation.error_code.is_not_distinct_from(retries.UNREACHABLE)
    return case((unreachable, retries.MAX_ATTEMPTS_UNREACHABLE), else_=retries.MAX_ATTEMPTS)


def release_orphans(session: Session, *conditions: ColumnElement[bool]) -> None:
    """Let what was left behind wait again: its host is held, so nobody carries it on."""
    orphans = update(Operation).where(Operation.state == "running", *conditions)
    session.execute(orphans.values(**_queued(func.now())))


def end_before_it_begins(session: Session, operation: Operation) -> bool:
    """End a long operation that was to be cancelled, or that was left behind too often; whether it has ended."""
    this = update(Operation).where(Operation.id == operation.id)
    if operation.cancel_requested_at is not None:
        _end(session, this.values(state="cancelled", ended_at=func.now()))
    elif operation.state == "running" and retries.exhausted(operation.error_code or "", operation.attempt):
        _end(session, this.values(state="failed", ended_at=func.now(), **_error(LOST)))
    else:
        return False
    return True


def end_run(session: Session, run_id: uuid.UUID | None, state: str) -> None:
    """Close a run that is still under way; one that was taken over is closed already."""
    under_way = update(Run).where(Run.id == run_id, Run.state == "running")
    session.execute(under_way.values(state=state, ended_at=func.now()))


def _succeeded(session: Session, operation: Operation, fence: int, changes: list[str]) -> bool:
    values = {"state": "succeeded", "changes": changes, "error_code": None, "error_message": None, "error_step": None}
    return _changed(session, _under(operation, fence).values(ended_at=func.now(), **values))


def _end(session: Session, statement: Update) -> None:
    ended = session.execute(statement.returning(Operation.id)).scalars().all()
    for operation in session.scalars(select(Operation).where(Operation.id.in_(ended))) if ended else ():
        _mark_error(session, operation)


def _under(operation: Operation, fence: int) -> Update:
    return update(Operation).where(Operation.id == operation.id, Operation.state == "running", Operation.fence == fence)


def _queued(at: ColumnElement[Any]) -> dict[str, Any]:
    return {"state": "queued", "next_attempt_at": at, "fence": None}


def _error(failure: Failure) -> dict[str, str | None]:
    return {"error_code": failure.code, "error_message": failure.message, "error_step": failure.step}


def _mark_error(session: Session, operation: Operation) -> None:
    if operation.lane == "long":
        session.refresh(operation)
        long_operations.ended(session, operation)
    elif operation.kind not in HARMLESS:
        _set_database(session, operation.database_id, status="error")


def _set_database(session: Session, database_id: uuid.UUID, **values: Any) -> None:
    session.execute(update(Database).where(Database.id == database_id).values(**values))


def _changed(session: Session, statement: Update) -> bool:
    options = {"synchronize_session": False}
    return session.execute(statement.returning(Operation.id).execution_options(**options)).first() is not None
