"""Tell a worker that a host, or a long operation, has work, in the transaction that made the work."""

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.models import Operation

TASK = "ring"
LONG_TASK = "carry"
QUEUE = "hosts"

DEFER = text("""
    SELECT procrastinate_defer_jobs_v1(ARRAY[
        ROW(:queue, :task, 0, :lock, NULL, jsonb_build_object(CAST(:argument AS text), CAST(:id AS text)), NULL)
    ]::procrastinate_job_to_defer_v1[])
""")


def lock(host_id: uuid.UUID) -> str:
    """The queue's lock that lets one worker at a time serve a host."""
    return f"host:{host_id}"


def ring(session: Session, host_id: uuid.UUID) -> None:
    """Defer a job that says "host H has work"; it rings when the caller commits, and not otherwise.

    Every operation rings, without a queueing lock (it would abort the caller's transaction) and without a
    schedule (a scheduled job blocks all later ones with its lock).
    """
    values = {"queue": QUEUE, "task": TASK, "lock": lock(host_id), "argument": "host_id", "id": str(host_id)}
    session.execute(DEFER, values)


def long_lock(operation_id: uuid.UUID) -> str:
    """The queue's lock that lets one worker at a time carry a long operation."""
    return f"operation:{operation_id}"


def ring_long(session: Session, operation_id: uuid.UUID) -> None:
    """Defer a job that says "this long operation is due". A worker without a free slot ignores it: it rings again."""
    lock_name = long_lock(operation_id)
    values = {"queue": QUEUE, "task": LONG_TASK, "lock": lock_name, "argument": "operation_id", "id": str(operation_id)}
    session.execute(DEFER, values)


def ring_for(session: Session, operation: Operation) -> None:
    """Ring for an operation, as its lane asks."""
    if operation.lane == "long":
        ring_long(session, operation.id)
    else:
        ring(session, operation.host_id)
