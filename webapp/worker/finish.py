"""Write each database's own result, in one transaction and only under the run's fence."""

import uuid
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Operation
from webapp.worker import host_keys, retries, settle, settle_many
from webapp.worker.claim import Batch
from webapp.worker.report import AGENT_ERROR, Failure, Item, failed_run
from webapp.worker.runner import Outcome

log = structlog.get_logger(__name__)

# It waits with its host, which is held until somebody has looked at it.
KEY_REFUSED = Failure(retries.UNREACHABLE, host_keys.WORDS, retryable=True)
UNREACHABLE = Failure(retries.UNREACHABLE, "The host cannot be reached.", retryable=True)
# The control database was away before the run could begin.
OUTAGE = "outage"
TIMEOUT = Failure(AGENT_ERROR, "The run took too long and was ended.", retryable=True)


def finish(session: Session, batch: Batch, outcome: Outcome) -> None:
    """Record the outcome of a whole batch. The caller commits."""
    asked, done = cancels(session, batch), finish_plain(session, batch, outcome)
    for operation in batch.operations:
        if operation.id in done:
            continue
        result = outcome.results.get(operation.database.name)
        if not finish_one(session, batch.fence, operation, result, outcome, cancel=operation.id in asked):
            log.warning("result_refused", operation_id=str(operation.id), run_id=str(batch.run_id), fence=batch.fence)
            settle.refund(session, operation.id, batch.fence)
    if outcome.results:
        settle.reached(session, batch.host.id)
    state = "cancelled" if outcome.stopped == "cancel" else "succeeded" if outcome.ok else "failed"
    settle.end_run(session, batch.run_id, state)


def finish_plain(session: Session, batch: Batch, outcome: Outcome) -> set[uuid.UUID]:
    """Record together what went as it should and leaves a database there; the operations that this ended."""
    results = [(operation, outcome.results.get(operation.database.name)) for operation in batch.operations]
    done = [
        (operation, result.changes)
        for operation, result in results
        if result is not None and is_done(operation, result) and settle_many.is_plain(operation)
    ]
    return settle_many.succeed(session, done, batch.fence)


def is_done(operation: Operation, result: Item | None) -> bool:
    """Whether the host has what the operation wanted, in the version that it wanted."""
    return result is not None and result.error is None and result.generation == operation.generation


def cancels(session: Session, batch: Batch) -> dict[Any, datetime | None]:
    """The operations of the batch that somebody asked to cancel."""
    query = select(Operation.id, Operation.cancel_requested_at).where(
        Operation.fence == batch.fence, Operation.cancel_requested_at.is_not(None)
    )
    return {row.id: row.cancel_requested_at for row in session.execute(query)}


def finish_one(
    session: Session, fence: int, operation: Operation, result: Item | None, outcome: Outcome, *, cancel: bool
) -> bool:
    """Record one result. A cancel that came after the work was done changes nothing: the truth is what is there."""
    if result is not None and is_done(operation, result):
        return settle.succeed(session, operation, fence, result.changes)
    if cancel:
        return settle.cancel(session, operation, fence)
    if outcome.stopped in ("cancel", "shutdown", OUTAGE) and result is None:
        return settle.hand_back(session, operation, fence)
    failure = (result.error.failure if result and result.error else None) or missing(outcome)
    if failure.retryable and not retries.exhausted(failure.code, operation.attempt):
        return settle.put_off(session, operation, fence, failure)
    return settle.fail(session, operation, fence, failure)


def missing(outcome: Outcome) -> Failure:
    """Why a database has no result: the run as a whole went wrong."""
    if outcome.key_refused:
        return KEY_REFUSED
    if outcome.unreachable:
        return UNREACHABLE
    if outcome.stopped == "timeout":
        return TIMEOUT
    return failed_run(outcome.failed_step)
