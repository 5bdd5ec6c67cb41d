"""Free the locks of dead workers and ring for whatever is due, late or early."""

import uuid
from collections.abc import Iterable

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.services import doorbell

log = structlog.get_logger(__name__)

FORGET_AFTER_S = 60

STALLED = text("""
    SELECT job.id, job.worker_id, job.lock, job.args->>'host_id' AS host_id, job.args->>'operation_id' AS operation_id
    FROM procrastinate_jobs AS job LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
    WHERE job.status = 'doing' AND job.queue_name = :queue AND (
        worker.id IS NULL
        OR worker.last_heartbeat < now() - make_interval(secs => :stalled_after_s)
        OR worker.id = ANY(:dead)
    ) AND job.worker_id IS DISTINCT FROM :own AND job.id <> ALL(:answering)
    FOR UPDATE OF job SKIP LOCKED
""")
HELD = text("SELECT true FROM procrastinate_jobs WHERE id = :id AND status = 'doing' FOR UPDATE")
OWN = text("SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = :worker_id")
FINISH = text("SELECT procrastinate_finish_job_v1(:id, 'failed', true)")
PRUNE = text("SELECT count(*) FROM procrastinate_prune_stalled_workers_v1(:seconds)")
SILENT_HOSTS = text("""
    SELECT DISTINCT host_id FROM operations JOIN hosts ON hosts.id = operations.host_id
    WHERE lane = 'converge' AND (
        operations.state = 'running'
        OR (operations.state = 'queued' AND cancel_requested_at IS NOT NULL)
        OR (
            operations.state = 'queued' AND next_attempt_at <= now()
            AND hosts.state <> 'offline' AND hosts.key_refused_at IS NULL
        )
    ) AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs
        WHERE lock = 'host:' || operations.host_id AND status IN ('todo', 'doing')
    )
""")


def holds(session: Session, job_id: int) -> bool:
    """Whether a doorbell is still its worker's own, which it stays until the transaction ends: nobody reaps it."""
    return session.scalar(HELD, {"id": job_id}) is not None


def reap(
    session: Session,
    stalled_after_s: float,
    dead: Iterable[int] = (),
    *,
    own: int | None = None,
    answering: Iterable[int] = (),
) -> int:
    """End the doorbells of workers without a heartbeat, or known to be *dead*, and ring again for their work.

    The new doorbell's worker finds the operations still `running` and takes them over. A reaper that was paused finds
    its *own* heartbeat old, and what it is *answering* is not left behind.
    """
    values = {"queue": doorbell.QUEUE, "stalled_after_s": stalled_after_s, "dead": list(dead)}
    values |= {"own": own, "answering": list(answering)}
    stalled = session.execute(STALLED, values).all()
    for job in stalled:
        log.warning("doorbell_reaped", job_id=job.id, queue_worker_id=job.worker_id, lock=job.lock)
        session.execute(FINISH, {"id": job.id})
        if job.operation_id is not None:
            doorbell.ring_long(session, uuid.UUID(job.operation_id))
        else:
            doorbell.ring(session, uuid.UUID(job.host_id))
    session.execute(PRUNE, {"seconds": max(FORGET_AFTER_S, stalled_after_s)})
    return len(stalled)


def ring_silent_hosts(session: Session) -> list[uuid.UUID]:
    """Ring each host that has due work (a retry whose time has come, an orphan, a cancel) and no doorbell."""
    hosts = list(session.scalars(SILENT_HOSTS))
    for host_id in hosts:
        doorbell.ring(session, host_id)
    return hosts


class Forgotten:
    """Doorbells that the queue says this worker is answering and that it is not (their end could not be written)."""

    def __init__(self) -> None:
        self._suspects: set[int] = set()

    def end(self, session: Session, worker_id: int, answering: set[int]) -> None:
        """End those met twice in a row: once may be the moment between fetching and answering."""
        found = set(session.scalars(OWN, {"worker_id": worker_id})) - answering
        for job_id in found & self._suspects:
            log.warning("doorbell_forgotten", job_id=job_id)
            session.execute(FINISH, {"id": job_id})
        self._suspects = found
