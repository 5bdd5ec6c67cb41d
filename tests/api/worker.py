"""A scripted worker: it plays each queued operation to the end that the test wants, as the real one would write it."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from tests.support.played import end_long
from webapp.models import Operation, Run, RunStep

STEPS = ("Ensure roles and databases", "Ensure PgBouncer's files", "Report each database")
# A converge counts no bytes.
NO_BYTES = {"bytesDone": None, "bytesTotal": None}
ENDS = {
    "database.stop": "stopped",
    "database.delete": "deleting",
}


@dataclass
class ScriptedWorker:
    """Plays operations while it is running; `outcome` decides how each ends."""

    sessions: sessionmaker[Session]
    outcome: Callable[[Operation], str] = lambda _operation: "succeeded"
    played: list[uuid.UUID] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self.play_once()

    def play_once(self) -> int:
        """Play everything that is due now; returns how many operations there were."""
        with self.sessions() as session:
            due = select(Operation).where(Operation.state == "queued", Operation.next_attempt_at <= datetime.now(UTC))
            operations = list(session.scalars(due.order_by(Operation.created_at).with_for_update(of=Operation)))
            for operation in operations:
                self._play(session, operation)
        return len(operations)

    def _play(self, session: Session, operation: Operation) -> None:
        self.played.append(operation.id)
        outcome = self.outcome(operation)
        if outcome == "unreachable":
            return self._put_off(session, operation)
        run = Run(
            id=uuid.uuid4(), host_id=operation.host_id, worker="scripted", playbook="databases.yml",
            steps_total=len(STEPS),
        )  # fmt: skip
        session.add(run)
        session.flush()
        operation.state, operation.run, operation.attempt = "running", run, operation.attempt + 1
        operation.started_at = datetime.now(UTC)
        session.commit()
        for number, name in enumerate(STEPS, start=1):
            run.step, run.step_name = number, name
            session.add(RunStep(run_id=run.id, number=number, name=name, state="ok", ended_at=datetime.now(UTC)))
            session.commit()
        return self._end(session, operation, run, outcome)

    def _end(self, session: Session, operation: Operation, run: Run, outcome: str) -> None:
        run.state = operation.state = outcome
        run.ended_at = operation.ended_at = datetime.now(UTC)
        database = operation.database
        if operation.lane == "long":
            if outcome == "failed":
                operation.error_code, operation.error_message = "AGENT_ERROR", "The disk is full."
            end_long(session, operation)
            session.commit()
            return
        if outcome == "failed":
            operation.error_code, operation.error_step = "AGENT_ERROR", STEPS[0]
            operation.error_message = "The disk is full."
            database.status = "error"
        elif outcome == "succeeded":
            operation.changes = ["CREATE ROLE"] if operation.kind == "database.create" else []
            database.status = ENDS.get(operation.kind, "stopped" if database.desired_state == "stopped" else "active")
            database.applied_generation = operation.generation
            if operation.kind == "database.delete":
                database.deleted_at = datetime.now(UTC)
        session.commit()

    def _put_off(self, session: Session, operation: Operation) -> None:
        operation.attempt += 1
        operation.error_code = "HOST_UNAVAILABLE"
        operation.next_attempt_at = datetime.now(UTC) + timedelta(minutes=5)
        session.commit()
