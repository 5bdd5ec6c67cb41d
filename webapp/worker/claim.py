"""Take the due operations of a host under a new fence, with what a dead run left behind."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, text, update
from sqlalchemy.orm import Session, joinedload

from webapp.models import Database, Host, Operation, Run
from webapp.models.operations import FENCES, is_due
from webapp.services import doorbell, hosts
from webapp.worker import reaper, settle

ABSORB = text("""
    SELECT procrastinate_cancel_job_v1(id, false, true) FROM procrastinate_jobs
    WHERE lock = :lock AND status = 'todo'
""")


@dataclass
class Batch:
    """The operations that one run carries; results count only under *fence*."""

    run_id: uuid.UUID
    fence: int
    host: Host
    operations: list[Operation] = field(repr=False)


def claim(
    session: Session, host_id: uuid.UUID, *, worker: str, playbook: str, limit: int, job_id: int | None = None
) -> Batch | None:
    """Claim what is due on the host, or None. The caller holds the host's lock by the doorbell *job_id*, and commits.

    That it still does is proven here: after a pause the doorbell may be another worker's. Because of that lock,
    whatever is still `running` belongs to a run that died: it is taken over first. On a host that is offline, or that
    shows another key than the pinned one, everything waits.
    """
    if job_id is not None and not reaper.holds(session, job_id):
        return None
    absorb_doorbells(session, host_id)
    abandon_runs(session, host_id)
    settle.cancel_requested(session, host_id)
    settle.give_up_on_orphans(session, host_id)
    if is_held(session, host_id):
        settle.release_orphans(session, Operation.host_id == host_id, Operation.lane == "converge")
        return None
    due = due_operations(session, host_id, limit)
    if not due:
        return None
    run = Run(id=uuid.uuid4(), host_id=host_id, fence=next_fence(session), worker=worker, playbook=playbook)
    session.add(run)
    session.flush()
    mark_running(session, due, run)
    operations = load(session, due)
    return Batch(run.id, run.fence, operations[0].host, operations)


def absorb_doorbells(session: Session, host_id: uuid.UUID) -> None:
    """Remove the host's other doorbells: what they stand for is committed, so this claim sees it."""
    session.execute(ABSORB, {"lock": doorbell.lock(host_id)})


def abandon_runs(session: Session, host_id: uuid.UUID) -> None:
    """Close runs that nobody carries on. Their fence is dead: late results of theirs find no row."""
    dead = update(Run).where(Run.host_id == host_id, Run.state == "running", Run.lane == "converge")
    session.execute(dead.values(state="abandoned", ended_at=func.now()))


def is_held(session: Session, host_id: uuid.UUID) -> bool:
    """Whether nothing is to be carried out on the host for now."""
    return session.scalar(select(hosts.held()).where(Host.id == host_id)) or False


def due_operations(session: Session, host_id: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """Lock the oldest due operations; a cancel that is under way is waited for."""
    of_host = and_(Operation.host_id == host_id, Operation.lane == "converge")
    query = select(Operation.id).where(of_host, is_due()).order_by(Operation.created_at)
    return list(session.scalars(query.limit(limit).with_for_update()))


def next_fence(session: Session) -> int:
    """A number higher than every earlier run's."""
    return session.scalars(select(FENCES.next_value())).one()


def mark_running(session: Session, ids: list[uuid.UUID], run: Run) -> None:
    """The one transition into `running`, for the whole batch."""
    now: ColumnElement[datetime] = func.now()
    session.execute(
        update(Operation)
        .where(Operation.id.in_(ids))
        .values(
            state="running",
            fence=run.fence,
            run_id=run.id,
            attempt=Operation.attempt + 1,
            started_at=func.coalesce(Operation.started_at, now),
        )
    )


def load(session: Session, ids: list[uuid.UUID]) -> list[Operation]:
    """The claimed operations with their databases' current desired state."""
    database = joinedload(Operation.database, innerjoin=True)
    wanted = database.selectinload(Database.allowlist), database.selectinload(Database.members)
    query = select(Operation).where(Operation.id.in_(ids)).order_by(Operation.created_at).options(*wanted)
    return list(session.scalars(query.execution_options(populate_existing=True)))
