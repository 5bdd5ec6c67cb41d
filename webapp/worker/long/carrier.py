"""Carry long operations: claim one, run its function, settle it. A bounded number at once."""

import threading
import time
import uuid

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Operation, Run
from webapp.worker import retries, settle
from webapp.worker.finish import TIMEOUT, UNREACHABLE
from webapp.worker.hosts import Server
from webapp.worker.long.claim import claim, ring_silent
from webapp.worker.long.fairness import AT_ONCE
from webapp.worker.long.job import Done, LongJob, Refused, Stopped, Unreachable
from webapp.worker.long.kinds import WORK
from webapp.worker.report import AGENT_ERROR, Failure
from webapp.worker.steps import Steps
from webapp.worker.turns import Turns

UNKNOWN = Failure(AGENT_ERROR, "This worker does not know the operation's kind.", retryable=True)
OWN_ERROR = Failure(AGENT_ERROR, "The worker met an error of its own.", retryable=True)

log = structlog.get_logger(__name__)


class Carrier:
    """One worker's slots for long operations."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._claiming = threading.Lock()  # each claim looks at what those before it have taken
        self._carried: set[uuid.UUID] = set()
        self._turns = Turns()

    def carry(self, operation_id: uuid.UUID, job_id: int) -> None:
        """Carry the operation if it is due and a slot is free; otherwise it is rung for again."""
        with self._turns.of(operation_id):
            claimed = self._claim(operation_id, job_id)
            if claimed is None:
                return
            try:
                self._carry(*claimed)
            finally:
                with self._claiming:
                    self._carried.discard(operation_id)

    def tick(self) -> None:
        """Ring for what waits, as far as there are slots here."""
        carried = set(self._carried)
        if len(carried) < AT_ONCE:
            with self._server.sessions() as session:
                ring_silent(session, carried)
                session.commit()

    def _claim(self, operation_id: uuid.UUID, job_id: int) -> tuple[Operation, Run] | None:
        with self._claiming:
            if self._server.shutdown.asked or len(self._carried) >= AT_ONCE:
                return None
            with self._server.sessions() as session:
                claimed = claim(session, operation_id, self._server.worker, job_id, self._carried)
                session.commit()
            if claimed is not None:
                self._carried.add(operation_id)
            return claimed

    def _carry(self, operation: Operation, run: Run) -> None:
        with structlog.contextvars.bound_contextvars(run_id=str(run.id), host=operation.host.name):
            started = time.monotonic()
            log.info("long_started", operation_id=str(operation.id), kind=operation.kind)
            ending = self._work(operation, run)
            kept = self._server.record(lambda session: self._end(session, operation, run, ending))
            how = "done" if isinstance(ending, Done) else str(ending)
            log.info("long_ended", how=how, kept=kept, duration_s=round(time.monotonic() - started, 3))

    def _end(self, session: Session, operation: Operation, run: Run, ending: Done | Failure | Stopped) -> bool:
        kept = self._settle(session, operation, run.fence, ending)
        if not kept:
            settle.refund(session, operation.id, run.fence)
        settle.end_run(session, run.id, run_state(ending))
        return kept

    def _work(self, operation: Operation, run: Run) -> Done | Failure | Stopped:
        """What came of the operation's function."""
        job = self._job(operation, run)
        try:
            return WORK[operation.kind](job) if operation.kind in WORK else UNKNOWN
        except Refused as refused:
            return refused.failure
        except Unreachable:
            return UNREACHABLE
        except Stopped as stopped:
            return stopped
        except Exception as error:  # noqa: BLE001  # the operation must not stay `running`
            log.warning("long_broke", error=type(error).__name__, where=innermost(error))
            return OWN_ERROR
        finally:
            job.steps.close()

    def _job(self, operation: Operation, run: Run) -> LongJob:
        server = self._server
        return LongJob(
            operation=operation,
            fence=run.fence,
            server=server,
            stop=server.stop_reason(run.fence),
            steps=Steps(server.settings.database_url.get_secret_value(), run.id, 0),
        )

    def _settle(self, session: Session, operation: Operation, fence: int, ending: Done | Failure | Stopped) -> bool:
        operation = session.get_one(Operation, operation.id)
        if isinstance(ending, Done):
            return settle.succeed_long(session, operation, fence, ending.changes, ending.record)
        if isinstance(ending, Stopped) and ending.reason == "shutdown":
            return settle.hand_back(session, operation, fence)
        if (isinstance(ending, Stopped) and ending.reason == "cancel") or cancel_asked(session, operation):
            return settle.cancel(session, operation, fence)
        failure = TIMEOUT if isinstance(ending, Stopped) else ending
        if failure.retryable and not retries.exhausted(failure.code, operation.attempt):
            return settle.put_off(session, operation, fence, failure)
        return settle.fail(session, operation, fence, failure)


def cancel_asked(session: Session, operation: Operation) -> bool:
    """Whether somebody wants it cancelled: what failed is then not tried again."""
    query = select(Operation.cancel_requested_at).where(Operation.id == operation.id)
    return session.scalar(query) is not None


def run_state(ending: Done | Failure | Stopped) -> str:
    """How a run that ended so is closed."""
    cancelled = isinstance(ending, Stopped) and ending.reason == "cancel"
    return "succeeded" if isinstance(ending, Done) else "cancelled" if cancelled else "failed"


def innermost(error: BaseException) -> str:
    """Where an error was raised: file and line, without any value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown"
