"""Tell a worker that a host has work, in the transaction that made the work."""

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

TASK = "ring"
QUEUE = "hosts"

DEFER = text("""
    SELECT procrastinate_defer_jobs_v1(ARRAY[
        ROW(:queue, :task, 0, :lock, NULL, jsonb_build_object('host_id', CAST(:host_id AS text)), NULL)
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
    values = {"queue": QUEUE, "task": TASK, "lock": lock(host_id), "host_id": str(host_id)}
    session.execute(DEFER, values)
