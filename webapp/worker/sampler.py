"""Report on every host on a schedule, beside the operations and without being one."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from webapp.services import metrics, sampling, storage_limits
from webapp.services.sampling import Lease
from webapp.worker import environment, host_keys, inventories
from webapp.worker.hosts import Server
from webapp.worker.runner import Job, Outcome, PlaybookRun
from webapp.worker.steps import Unwatched

PLAYBOOK = environment.CHECKOUT / "playbooks" / "report.yml"
# Its own threads: a report never takes one from an operation.
HOSTS_AT_ONCE = 4
TIMEOUT_S = 60.0
COMPACT_EVERY_S = 60.0

log = structlog.get_logger(__name__)


class Sampler:
    """One worker's share of the reports: the leases in `host_reports` keep workers out of each other's way."""

    def __init__(self, server: Server, playbook: Path = PLAYBOOK) -> None:
        self._server = server
        self._playbook = playbook
        self._pool = ThreadPoolExecutor(HOSTS_AT_ONCE, thread_name_prefix="sampler")
        self._under_way: set[Future[None]] = set()
        self._compacted = float("-inf")

    def tick(self) -> None:
        """Start the reports that are due, as far as there are threads; cheap when none is."""
        every_s = self._server.settings.sample_every_s
        self._under_way = {future for future in self._under_way if not future.done()}
        free = HOSTS_AT_ONCE - len(self._under_way)
        if not every_s or not free or self._server.shutdown.asked:
            return
        with self._server.sessions() as session:
            leases = sampling.take_due(session, every_s, free)
            session.commit()
        self._under_way |= {self._pool.submit(self._report, lease) for lease in leases}
        if time.monotonic() - self._compacted > COMPACT_EVERY_S:
            self._compacted = time.monotonic()
            self._under_way.add(self._pool.submit(self._guarded, self._compact))

    def close(self) -> None:
        """Wait for what is under way; the shutdown ends it."""
        self._pool.shutdown()

    def _report(self, lease: Lease) -> None:
        self._guarded(lambda: self._keep(lease, *self._look(lease)))

    def _look(self, lease: Lease) -> tuple[Outcome, float]:
        run_id = uuid.uuid4()
        server = self._server
        sources = inventories.current(server.settings, server.sessions, server.workplace)
        job = Job(run_id, self._playbook, sources, lease.host_name, {}, timeout_s=TIMEOUT_S)
        folder = server.workplace.run_folder(run_id)
        started = time.monotonic()
        outcome = PlaybookRun(job, folder, Unwatched(), self._stop_reason, server.warm_socket()).run()
        outcome.key_refused = outcome.unreachable and host_keys.refused(server.sessions, lease.host_name)
        return outcome, time.monotonic() - started

    def _stop_reason(self) -> str | None:
        return "shutdown" if self._server.shutdown.asked else None

    def _keep(self, lease: Lease, outcome: Outcome, took_s: float) -> None:
        report = outcome.host_report
        with self._server.sessions() as session:
            if report is None:
                kept = sampling.fail(session, lease, why(outcome))
            else:
                kept = sampling.keep(session, lease, report, took_s)
            session.commit()
        if report is None or not kept:
            log.warning("host_not_reported", host=lease.host_name, reason=why(outcome), kept=kept)
            return
        with self._server.sessions() as session:
            changed = storage_limits.enforce(session, lease.host_id)
            session.commit()
        if changed:
            log.info("storage_limits_applied", host=lease.host_name, databases=changed)

    def _compact(self) -> None:
        with self._server.sessions() as session:
            metrics.compact(session)
            session.commit()

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (SQLAlchemyError, OSError) as error:
            log.warning("sampling_failed", error=type(error).__name__)


def why(outcome: Outcome) -> str:
    """Why a run brought no report, for a person."""
    if outcome.key_refused:
        return host_keys.WORDS
    if outcome.unreachable:
        return "The host cannot be reached."
    if outcome.stopped:
        return "The report took too long." if outcome.stopped == "timeout" else "The worker was stopped."
    return "The host gave no report."
