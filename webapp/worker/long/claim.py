"""Take one long operation under a new fence. The caller holds its lock in the queue."""

import uuid
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Operation, Run
from webapp.models.operations import is_due
from webapp.services import doorbell
from webapp.worker import reaper, settle
from webapp.worker.claim import ABSORB, is_held, load, mark_running, next_fence
from webapp.worker.long import fairness


def claim(
    session: Session,
    operation_id: uuid.UUID,
    worker: str,
    job_id: int | None = None,
    carried: Collection[uuid.UUID] = (),
) -> tuple[Operation, Run] | None:
    """The operation with its new run, or None when it is not due, or the doorbell *job_id* lost. The caller commits.

    None also when those who have less of the slots beside *carried* are before it: it is rung for again.
    Found `running`, its worker has died: it is taken over, unless it was to be cancelled or has killed too many.
    """
    if job_id is not None and not reaper.holds(session, job_id):
        return None
    session.execute(ABSORB, {"lock": doorbell.long_lock(operation_id)})
    query = select(Operation).where(Operation.id == operation_id, Operation.lane == "long", is_due())
    operation = session.scalar(query.with_for_update(of=Operation))
    if operation is None:
        return None
    settle.end_run(session, operation.run_id, "abandoned")
    if settle.end_before_it_begins(session, operation):
        return None
    if is_held(session, operation.host_id):
        settle.release_orphans(session, Operation.id == operation.id)
        return None
    if not fairness.may_begin(session, operation.id, carried):
        return None
    values = {"host_id": operation.host_id, "worker": worker, "playbook": operation.kind, "lane": "long"}
    run = Run(id=uuid.uuid4(), fence=next_fence(session), **values)
    session.add(run)
    session.flush()
    mark_running(session, [operation.id], run)
    return load(session, [operation.id])[0], run


def ring_silent(session: Session, carried: Collection[uuid.UUID]) -> None:
    """Ring for due long operations that have no doorbell: retries, orphans, those that found no slot."""
    for operation_id in fairness.silent(session, carried):
        doorbell.ring_long(session, operation_id)
