"""Report on every host on a schedule, beside the operations and without being one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from webapp.services import host_journal, metrics, sampling, storage_limits, storage_warnings
from webapp.services.leases import Lease
from webapp.worker import environment
from webapp.worker.hosts import Server
from webapp.worker.runner import Job, Outcome
from webapp.worker.slots import Slots

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
        self._slots = Slots(HOSTS_AT_ONCE, "sampler")
        self._compacted = float("-inf")

    def tick(self) -> None:
        """Start the reports that are due, as far as there are threads; cheap when none is."""
        every_s = self._server.settings.sample_every_s
        free = self._slots.free
        if not every_s or not free or self._server.shutdown.asked:
            return
        with self._server.sessions() as session:
            leases = sampling.take_due(session, every_s, free)
            session.commit()
        for lease in leases:
            self._slots.start(self._report, lease)
        if time.monotonic() - self._compacted > COMPACT_EVERY_S:
            self._compacted = time.monotonic()
            self._slots.start(self._guarded, self._compact)

    def close(self) -> None:
        """Wait for what is under way; the shutdown ends it."""
        self._slots.close()

    def _report(self, lease: Lease) -> None:
        self._guarded(lambda: self._keep(lease, *self._look(lease)))

    def _look(self, lease: Lease) -> tuple[Outcome, float]:
        started = time.monotonic()
        outcome = self._server.look(Job(self._playbook, lease.host_name, self._variables(lease), TIMEOUT_S))
        return outcome, time.monotonic() - started

    def _variables(self, lease: Lease) -> dict[str, Any]:
        with self._server.sessions() as session:
            return {"report_journal_after": host_journal.read_to(session, lease.host_id)}

    def _keep(self, lease: Lease, outcome: Outcome, took_s: float) -> None:
        report = outcome.host_report

        def keep(session: Session) -> bool:
            if report is None:
                return sampling.fail(session, lease, outcome.why("report"))
            return sampling.keep(session, lease, report, took_s)

        kept = self._server.record(keep)
        if report is None or not kept:
            log.warning("host_not_reported", host=lease.host_name, reason=outcome.why("report"), kept=kept)
            return
        with self._server.sessions() as session:
            changed = storage_limits.enforce(session, lease.host_id)
            session.commit()
            storage_warnings.tell(session, lease.host_id)
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
