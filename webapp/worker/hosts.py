"""Serve one host: claim, run, finish, until nothing is due. The caller holds the host's lock in the queue."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from webapp.config import Settings
from webapp.models import Operation
from webapp.worker import desired, environment, host_keys, inventories, task_count
from webapp.worker.claim import Batch, claim
from webapp.worker.finish import finish
from webapp.worker.runner import Job, Outcome, PlaybookRun
from webapp.worker.steps import Steps, Unwatched
from webapp.worker.workplace import Workplace

CANCEL_POLL_S = 0.5
SHUTDOWN_PATIENCE_S = 15.0

log = structlog.get_logger(__name__)


@dataclass
class Shutdown:
    """Set once, by SIGTERM: a run that lasts longer than the patience is ended and its operations are queued again."""

    event: threading.Event = field(default_factory=threading.Event)
    deadline: float = float("inf")

    def ask(self) -> None:
        self.deadline = time.monotonic() + SHUTDOWN_PATIENCE_S
        self.event.set()

    @property
    def asked(self) -> bool:
        return self.event.is_set()

    @property
    def due(self) -> bool:
        return time.monotonic() > self.deadline


@dataclass
class Server:
    """What it takes to serve hosts; one for the whole worker, used from several threads."""

    settings: Settings
    sessions: sessionmaker[Session]
    workplace: Workplace
    shutdown: Shutdown
    worker: str
    warm_socket: Callable[[], str] = str
    playbook: Path = environment.PLAYBOOK

    def serve(self, host_id: uuid.UUID) -> None:
        """Carry out everything that is due on the host."""
        while not self.shutdown.asked:
            batch = self.claim(host_id)
            if batch is None:
                return
            self.carry_out(batch)

    def claim(self, host_id: uuid.UUID) -> Batch | None:
        with self.sessions() as session:
            limit, playbook = self.settings.batch_limit, self.playbook.name
            batch = claim(session, host_id, worker=self.worker, playbook=playbook, limit=limit)
            session.commit()
            return batch

    def carry_out(self, batch: Batch) -> None:
        """One run for the whole batch, then each database's own result."""
        with structlog.contextvars.bound_contextvars(run_id=str(batch.run_id), host=batch.host.name):
            log.info("run_started", operations=[str(operation.id) for operation in batch.operations])
            started = time.monotonic()
            outcome = self.run(batch)
            with self.sessions() as session:
                finish(session, batch, outcome)
                session.commit()
            duration = round(time.monotonic() - started, 3)
            log.info("run_ended", ok=outcome.ok, stopped=outcome.stopped, duration_s=duration, totals=outcome.totals)

    def run(self, batch: Batch) -> Outcome:
        url = self.settings.database_url.get_secret_value()
        steps = Steps(url, batch.run_id, task_count.count(self.playbook, environment.ROLES))
        job = Job(self.playbook, batch.host.name, desired.extra_vars(batch.operations), self.settings.run_timeout_s)
        return self.play(job, steps, self.stop_reason(batch.fence), batch.run_id)

    def look(self, job: Job) -> Outcome:
        """Play what no operation asked for: nobody watches its steps, and the shutdown ends it at once."""
        return self.play(job, Unwatched(), lambda: "shutdown" if self.shutdown.asked else None)

    def play(self, job: Job, steps: Steps, stop: Callable[[], str | None], run_id: uuid.UUID | None = None) -> Outcome:
        """Play by the inventory as of now. A host that cannot be reached is asked whether its key is the pinned one."""
        inventory = inventories.current(self.settings, self.sessions, self.workplace)
        folder = self.workplace.run_folder(run_id or uuid.uuid4())
        outcome = PlaybookRun(job, inventory, folder, steps, stop, self.warm_socket()).run()
        outcome.key_refused = outcome.unreachable and host_keys.refused(self.sessions, job.host)
        return outcome

    def stop_reason(self, fence: int) -> Callable[[], str | None]:
        """What the run asks between events: why it should end early, if it should."""
        looked_at = 0.0

        def reason() -> str | None:
            nonlocal looked_at
            if self.shutdown.due:
                return "shutdown"
            if time.monotonic() - looked_at < CANCEL_POLL_S:
                return None
            looked_at = time.monotonic()
            return "cancel" if self.cancel_requested(fence) else None

        return reason

    def cancel_requested(self, fence: int) -> bool:
        """Whether somebody wants an operation under *fence* cancelled; the rest of its batch is queued again."""
        query = select(Operation.id).where(Operation.fence == fence, Operation.cancel_requested_at.is_not(None))
        try:
            with self.sessions() as session:
                return session.scalars(query.limit(1)).first() is not None
        except SQLAlchemyError as error:
            log.warning("cancel_not_read", error=type(error).__name__)
            return False
