"""A worker that plays operations into the rows without a host, so that pages can be watched while they run."""

import threading
import time
import uuid
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from tests.support.played import end_delete, end_long
from webapp.models import Operation, Run, RunStep
from webapp.models.operations import FENCES

STEPS = (
    "Ensure databases that go are unpublished",
    "Ensure tenant roles exist with their verifiers",
    "Ensure databases exist, closed until ready",
    "Ensure PgBouncer's files say so",
    "Ensure PgBouncer has read them",
    "Ensure each database can be logged in to",
    "Report each database",
)
STATUS = {
    "database.create": "active",
    "database.start": "active",
    "database.stop": "stopped",
    "database.restart": "active",
}
CHANGES = {"database.create": ['CREATE ROLE "{name}"', 'CREATE DATABASE "{name}"', "RELOAD"]}


HOLD_AT = 3


class ScriptedWorker:
    """Takes queued operations one by one and lets each step last *step_s*; a database named `*fail*` fails at first."""

    def __init__(self, sessions: sessionmaker[Session], step_s: float = 0.08) -> None:
        self.sessions, self.step_s = sessions, step_s
        # Cleared by a test that wants to look while an operation is under way: it then stays at step HOLD_AT.
        self.free = threading.Event()
        self.free.set()
        self._failed: set[uuid.UUID] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-worker")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def play_all(self) -> None:
        """Carry out everything that is queued, in this thread."""
        while self._play_next():
            pass

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._play_next():
                self._stop.wait(0.02)

    def _play_next(self) -> bool:
        with self.sessions() as session:
            query = select(Operation).where(Operation.state == "queued").order_by(Operation.created_at).limit(1)
            operation = session.scalar(query)
            if operation is None:
                return False
            self._play(session, operation)
            return True

    def _play(self, session: Session, operation: Operation) -> None:
        fails = "fail" in operation.database.name and operation.id not in self._failed
        run = self._begin(session, operation)
        for number, name in enumerate(STEPS[:3] if fails else STEPS, start=1):
            step = RunStep(run_id=run.id, number=number, name=name, state="running", started_at=_now())
            session.add(step)
            run.step, run.step_name = number, name
            session.commit()
            time.sleep(self.step_s)
            if number == HOLD_AT:
                self.free.wait(30)
            step.ended_at, step.state = _now(), "failed" if fails and number == 3 else "changed"
            session.commit()
        run.ended_at, run.state = _now(), "failed" if fails else "succeeded"
        self._end(session, operation, fails)
        if operation.lane == "long":
            end_long(session, operation)
        session.commit()
        self._failed.add(operation.id)

    def _begin(self, session: Session, operation: Operation) -> Run:
        fence = session.scalar(select(FENCES.next_value()))
        run = Run(
            id=uuid.uuid4(), host_id=operation.host_id, fence=fence, worker="scripted", playbook="databases.yml",
            steps_total=len(STEPS),
        )  # fmt: skip
        session.add(run)
        session.flush()
        operation.state, operation.started_at, operation.fence = "running", func.now(), fence
        operation.attempt += 1
        operation.run_id = run.id
        session.commit()
        return run

    def _end(self, session: Session, operation: Operation, fails: bool) -> None:
        database = operation.database
        operation.ended_at = _now()
        if fails:
            operation.state, operation.error_code, operation.error_step = "failed", "disk_full", STEPS[2]
            operation.error_message = "The host has no space left for another database. Free some, then retry."
            database.status = "error"
            return
        operation.state = "succeeded"
        if operation.lane == "long":
            return
        operation.changes = [line.format(name=database.name) for line in CHANGES.get(operation.kind, [])]
        database.status = STATUS.get(operation.kind, database.status)
        database.applied_generation = operation.generation
        if operation.kind == "database.delete":
            end_delete(session, database)


def _now() -> datetime:
    return datetime.now(UTC)
