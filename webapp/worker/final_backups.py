"""Make the final backups of deleted databases, many of a host in one run, and drop what was kept aside for them.

Beside the operations and without being one: the database is gone for its people as soon as it was put aside. What is
kept aside is dropped only when its backup is listed, so that a kill between any two steps loses nothing.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from webapp.gateways.object_store import ObjectStoreError
from webapp.models import FinalBackup, Host
from webapp.services import final_backups
from webapp.worker import environment
from webapp.worker.finish import UNREACHABLE
from webapp.worker.hosts import Server
from webapp.worker.long import dumps
from webapp.worker.long.dumps import Dumped
from webapp.worker.long.job import Refused, Stopped
from webapp.worker.report import Failure, failed_run
from webapp.worker.runner import Job, Outcome
from webapp.worker.slots import Slots
from webapp.worker.steps import Unwatched

REPORT = "Report the backups"
HOSTS_AT_ONCE = 2
# A run's batch: more of them wait for the next one, so that no lease and no run grows without bound.
BATCH = 25
RENEW_EVERY_S = 20.0
TIMEOUT_S = 6 * 3600.0
# What was kept aside is not on the host any more.
NOTHING_LEFT = "no_database"

log = structlog.get_logger(__name__)


class Named(Dumped):
    """One backup's result among several."""

    name: str


class FinalBackups:
    """One worker's share; leases keep workers out of each other's way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._slots = Slots(HOSTS_AT_ONCE, "final-backups")

    def tick(self) -> None:
        """Start what is due; cheap when nothing is."""
        free = self._slots.free
        if not free or self._server.shutdown.asked:
            return
        with self._server.sessions() as session:
            taken = [
                (host, *final_backups.take(session, host, BATCH)) for host in final_backups.due_hosts(session, free)
            ]
            session.commit()
        for host, lease, rows in taken:
            if rows:
                self._slots.start(self._guarded, host, lease, rows)

    def close(self) -> None:
        """Wait for what is under way; the shutdown ends it."""
        self._slots.close()

    def _guarded(self, host: Host, lease: uuid.UUID, rows: list[FinalBackup]) -> None:
        try:
            Batch(self._server, host, lease).carry(rows)
        except Stopped as stopped:
            log.info("final_backups_stopped", host=host.name, reason=str(stopped))
        except (SQLAlchemyError, OSError, ObjectStoreError) as error:
            log.warning("final_backups_failed", host=host.name, error=type(error).__name__)


class Batch:
    """Some final backups of one host, under one lease."""

    def __init__(self, server: Server, host: Host, lease: uuid.UUID) -> None:
        self._server = server
        self._host = host
        self._lease = lease

    def carry(self, rows: list[FinalBackup]) -> None:
        """Dump what is not dumped yet, then drop what is. What fails is put off; what was not begun, handed back."""
        started = time.monotonic()
        try:
            dumped = self._dump([row for row in rows if row.backup is not None and row.backup.state == "creating"])
            ready = [row for row in rows if row.database_id in dumped or self._needs_no_dump(row)]
            self._drop(ready)
        finally:
            # Also after an outage: its own living holder is not waited for until the lease is over.
            self._server.record(lambda session: final_backups.hand_back(session, self._lease))
        took = round(time.monotonic() - started, 3)
        log.info("final_backups_made", host=self._host.name, dropped=len(ready), of=len(rows), duration_s=took)

    @staticmethod
    def _needs_no_dump(row: FinalBackup) -> bool:
        return row.backup is None or row.backup.state == "available"

    def _dump(self, rows: list[FinalBackup]) -> set[uuid.UUID]:
        """Whose backup is whole now."""
        wanted = {row.name: item for row in rows if (item := self._asked(row)) is not None}
        if not wanted:
            return set()
        outcome = self._play("backups.yml", {"tenant_backups": list(wanted.values())})
        results, missing = read(outcome), why(outcome)
        return {
            row.database_id for row in rows if row.name in wanted and self._keep(row, results.get(row.name), missing)
        }

    def _asked(self, row: FinalBackup) -> dict[str, Any] | None:
        if row.backup is None:
            return None
        try:
            return dumps.asked(row.backup, row.name, lambda: self._fenced(row))
        except Refused as refused:
            self._put_off(row, refused.failure)
            return None

    def _keep(self, row: FinalBackup, result: Named | None, missing: Failure) -> bool:
        """Whether the backup is listed from now on; otherwise it says why, and is tried again."""
        if result is not None and result.error is not None and result.error.code == NOTHING_LEFT:
            self._give_up(row, result.error.message)
            return False
        problem = missing if result is None else result.error.failure if result.error else None
        if result is None or problem is not None or row.backup is None or result.sha256 is None:
            self._put_off(row, problem or failed_run(None))
            return False
        try:
            dumps.complete(row.backup, result)
            with self._fenced(row) as session:
                dumps.keep(session, row.backup.id, result)
        except Refused as refused:
            self._put_off(row, refused.failure)
            return False
        return True

    def _drop(self, rows: list[FinalBackup]) -> None:
        if not rows:
            return
        absent = [{"name": row.name, "state": "absent"} for row in rows]
        outcome = self._play("databases.yml", {"tenant_databases": absent})
        gone = [row for row in rows if (item := outcome.results.get(row.name)) is not None and item.error is None]
        self._server.record(lambda session: final_backups.done(session, self._lease, [row.database_id for row in gone]))
        for row in rows:
            if row not in gone:
                item = outcome.results.get(row.name)
                self._put_off(row, item.error.failure if item and item.error else why(outcome))

    def _give_up(self, row: FinalBackup, problem: str) -> None:
        log.error("final_backup_lost", host=self._host.name, database_id=str(row.database_id), reason=problem)
        with self._server.sessions() as session:
            final_backups.lost(session, self._lease, row, problem)
            session.commit()

    def _put_off(self, row: FinalBackup, problem: Failure) -> None:
        why = problem.message
        log.warning("final_backup_put_off", host=self._host.name, database_id=str(row.database_id), reason=why)
        with self._server.sessions() as session:
            same = session.merge(row, load=False)
            final_backups.put_off(session, self._lease, same, why, retryable=problem.retryable)
            session.commit()

    @contextmanager
    def _fenced(self, row: FinalBackup) -> Iterator[Session]:
        with self._server.sessions() as session:
            if not final_backups.holds(session, self._lease, row.database_id):
                raise Stopped("taken over")
            yield session
            session.commit()

    def _play(self, playbook: str, variables: dict[str, Any]) -> Outcome:
        job = Job(environment.PLAYBOOKS / playbook, self._host.name, variables, TIMEOUT_S)
        outcome = self._server.play(job, Unwatched(), self._stop_reason())
        if outcome.stopped is not None:
            raise Stopped(outcome.stopped)
        return outcome

    def _stop_reason(self) -> Callable[[], str | None]:
        """Asked between events: it also keeps the lease, and ends the run when that is lost."""
        renewed = time.monotonic()

        def reason() -> str | None:
            nonlocal renewed
            if self._server.shutdown.asked:
                return "shutdown"
            if time.monotonic() - renewed < RENEW_EVERY_S:
                return None
            renewed = time.monotonic()
            return None if self._renew() else "cancel"

        return reason

    def _renew(self) -> bool:
        try:
            with self._server.sessions() as session:
                held = final_backups.renew(session, self._lease)
                session.commit()
                return held
        except SQLAlchemyError as error:  # the lease is longer than one renewal
            log.warning("lease_not_renewed", host=self._host.name, error=type(error).__name__)
            return True


def read(outcome: Outcome) -> dict[str, Named]:
    """Each backup's result, by the name that the host knows; empty when the report cannot be read."""
    told = (outcome.reports.get(REPORT, {}).get("batch") or {}).get("backups") or []
    try:
        return {one.name: one for one in TypeAdapter(list[Named]).validate_python(told)}
    except ValidationError:
        return {}


def why(outcome: Outcome) -> Failure:
    """Why a run that has no result for somebody has none."""
    return UNREACHABLE if outcome.unreachable else failed_run(outcome.failed_step)
