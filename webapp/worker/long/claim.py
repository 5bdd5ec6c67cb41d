"""Take one long operation under a new fence. The caller holds its lock in the queue."""

import uuid

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from webapp.models import Operation, Run
from webapp.models.operations import is_due
from webapp.services import doorbell
from webapp.worker import reaper, settle
from webapp.worker.claim import ABSORB, is_held, load, mark_running, next_fence

SILENT = text("""
    SELECT operations.id FROM operations JOIN hosts ON hosts.id = operations.host_id
    WHERE lane = 'long' AND (
        operations.state = 'running'
        OR (
            operations.state = 'queued' AND next_attempt_at <= now()
            AND hosts.state <> 'offline' AND hosts.key_refused_at IS NULL
        )
    ) AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs
        WHERE lock = 'operation:' || operations.id AND status IN ('todo', 'doing')
    )
    ORDER BY operations.created_at LIMIT :limit
""")


def claim(
    session: Session, operation_id: uuid.UUID, worker: str, job_id: int | None = None
) -> tuple[Operation, Run] | None:
    """The operation with its new run, or None when it is not due, or the doorbell *job_id* lost. The caller commits.

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
    values = {"host_id": operation.host_id, "worker": worker, "playbook": operation.kind, "lane": "long"}
    run = Run(id=uuid.uuid4(), fence=next_fence(session), **values)
    session.add(run)
    session.flush()
    mark_running(session, [operation.id], run)
    return load(session, [operation.id])[0], run


def ring_silent(session: Session, limit: int) -> None:
    """Ring for the oldest due long operations that have no doorbell: retries, orphans, those that found no slot."""
    for operation_id in session.scalars(SILENT, {"limit": limit}):
        doorbell.ring_long(session, operation_id)
