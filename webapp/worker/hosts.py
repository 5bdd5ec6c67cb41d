"""Serve one host: claim, run, finish, until nothing is due. The caller holds the host's lock in the queue."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import exists, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from webapp.config import Settings
from webapp.db import AWAY, CommitLost, is_away
from webapp.models import Operation, Run
from webapp.worker import desired, environment, host_keys, inventories, task_count
from webapp.worker.claim import Batch, claim
from webapp.worker.finish import OUTAGE, finish
from webapp.worker.runner import Job, Outcome, PlaybookRun
from webapp.worker.steps import Steps, Unwatched
from webapp.worker.turns import Turns
from webapp.worker.workplace import Workplace

CANCEL_POLL_S = 0.5
SHUTDOWN_PATIENCE_S = 15.0
AWAY_PAUSE_S = 0.5
TAKEN_OVER = "taken over"

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
    turns: Turns = field(default_factory=Turns)

    def serve(self, host_id: uuid.UUID, job_id: int) -> None:
        """Carry out everything that is due on the host, as long as the doorbell *job_id* is this worker's."""
        with self.turns.of(host_id):
            while not self.shutdown.asked:
                batch = self.claim(host_id, job_id)
                if batch is None:
                    return
                self.carry_out(batch)

    def claim(self, host_id: uuid.UUID, job_id: int) -> Batch | None:
        with self.sessions() as session:
            limit, playbook = self.settings.batch_limit, self.playbook.name
            batch = claim(session, host_id, worker=self.worker, playbook=playbook, limit=limit, job_id=job_id)
            session.commit()
            return batch

    def record[R](self, write: Callable[[Session], R]) -> R:
        """Write what came of work in one transaction, which waits for a control database that is away.

        Raises what the database says otherwise, and at the end of a shutdown's patience that it is away.
        """
        while True:
            try:
                with self.sessions() as session:
                    result = write(session)
                    session.commit()
                    return result
            except CommitLost as lost:
                while (outcome := lost.outcome(AWAY_PAUSE_S)) is None and not self.shutdown.due:
                    continue
                if outcome == "committed":
                    return result
            except AWAY as error:
                if self.shutdown.due or not is_away(error):
                    raise
                log.warning("result_waits", error=type(error).__name__)
            time.sleep(AWAY_PAUSE_S)

    def carry_out(self, batch: Batch) -> None:
        """One run for the whole batch, then each database's own result."""
        with structlog.contextvars.bound_contextvars(run_id=str(batch.run_id), host=batch.host.name):
            log.info("run_started", operations=[str(operation.id) for operation in batch.operations])
            started = time.monotonic()
            try:
                outcome = self.run(batch)
            except SQLAlchemyError as error:
                log.warning("run_not_begun", error=type(error).__name__)
                outcome = Outcome(stopped=OUTAGE)
            self.record(lambda session: finish(session, batch, outcome))
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
        looked_at = time.monotonic()

        def reason() -> str | None:
            nonlocal looked_at
            if self.shutdown.due:
                return "shutdown"
            if time.monotonic() - looked_at < CANCEL_POLL_S:
                return None
            looked_at = time.monotonic()
            return self.asked_to_end(fence)

        return reason

    def asked_to_end(self, fence: int) -> str | None:
        """Whether somebody has cancelled an operation under *fence*, or taken the run over.

        After a cancel the rest of its batch is queued again.
        """
        cancelled = exists().where(Operation.fence == fence, Operation.cancel_requested_at.is_not(None))
        goes_on = exists().where(Run.fence == fence, Run.state == "running")
        try:
            with self.sessions() as session:
                is_cancelled, is_own = session.execute(select(cancelled, goes_on)).one()
        except SQLAlchemyError as error:
            log.warning("cancel_not_read", error=type(error).__name__)
            return None
        return "cancel" if is_cancelled else None if is_own else TAKEN_OVER
