"""Check every host against the desired state on a schedule, beside the operations and without being one."""

import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from webapp.services import drift
from webapp.services.drift import Finding, Findings, Lease
from webapp.worker import desired, environment, host_keys, inventories
from webapp.worker.hosts import Server
from webapp.worker.report import REPORT_TASK, Item
from webapp.worker.runner import Job, Outcome, PlaybookRun
from webapp.worker.steps import Unwatched

STRANGERS = environment.CHECKOUT / "playbooks" / "strangers.yml"
STRANGERS_TASK = "Report strangers"
# One after the other: nothing waits for a check, and operations want the processors.
HOSTS_AT_ONCE = 1
LEASE_RUNS = 2.5

log = structlog.get_logger(__name__)


class Stranger(BaseModel):
    """One thing that nobody knows, in the module's words."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    place: str
    name: str
    message: str


class Checker:
    """One worker's share of the checks: the leases in `host_checks` keep workers out of each other's way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pool = ThreadPoolExecutor(HOSTS_AT_ONCE, thread_name_prefix="checker")
        self._under_way: set[Future[None]] = set()

    def tick(self) -> None:
        """Start a check that is due; cheap when none is."""
        settings = self._server.settings
        self._under_way = {future for future in self._under_way if not future.done()}
        free = HOSTS_AT_ONCE - len(self._under_way)
        if not settings.check_every_s or not free or self._server.shutdown.asked:
            return
        with self._server.sessions() as session:
            leases = drift.take_due(session, settings.check_every_s, settings.run_timeout_s * LEASE_RUNS, free)
            session.commit()
        self._under_way |= {self._pool.submit(self._check, lease) for lease in leases}

    def close(self) -> None:
        """Wait for what is under way; the shutdown ends it."""
        self._pool.shutdown()

    def _check(self, lease: Lease) -> None:
        try:
            found = self._look(lease)
            with self._server.sessions() as session:
                kept = _keep(session, lease, found)
                session.commit()
        except (SQLAlchemyError, OSError) as error:
            log.warning("check_failed", host=lease.host_name, error=type(error).__name__)
            return
        reason = found if isinstance(found, str) else found.error
        if reason or not kept:
            log.warning("host_not_checked", host=lease.host_name, reason=reason, kept=kept)

    def _look(self, lease: Lease) -> Findings | str:
        """What differs on the host, or why that is not known."""
        with self._server.sessions() as session:
            wanted = [desired.tenant_database(database) for database in drift.settled(session, lease.host_id)]
            known = [database.name for database in drift.live(session, lease.host_id)]
        checked = self._run(lease, self._server.playbook, {"tenant_databases": wanted}, check=True)
        if REPORT_TASK not in checked.reports:
            return why(checked)
        looked = self._run(lease, STRANGERS, {"known_databases": known})
        return findings(checked, looked)

    def _run(self, lease: Lease, playbook: Path, variables: dict[str, Any], *, check: bool = False) -> Outcome:
        run_id, server = uuid.uuid4(), self._server
        sources = inventories.current(server.settings, server.sessions, server.workplace)
        timeout_s = server.settings.run_timeout_s
        job = Job(run_id, playbook, sources, lease.host_name, variables, timeout_s=timeout_s, check=check)
        folder = server.workplace.run_folder(run_id)
        outcome = PlaybookRun(job, folder, Unwatched(), self._stop_reason, server.warm_socket()).run()
        outcome.key_refused = outcome.unreachable and host_keys.refused(server.sessions, lease.host_name)
        return outcome

    def _stop_reason(self) -> str | None:
        return "shutdown" if self._server.shutdown.asked else None


def _keep(session: Session, lease: Lease, found: Findings | str) -> bool:
    return drift.fail(session, lease, found) if isinstance(found, str) else drift.keep(session, lease, found)


def findings(checked: Outcome, looked: Outcome) -> Findings:
    """What two runs have found. A database that could not be looked at is no difference, but the check's error."""
    unseen = {name: item.error for name, item in checked.results.items() if item.error and item.error.retryable}
    seen = {name: item for name, item in checked.results.items() if name not in unseen}
    found = [
        Finding("database", name, said, bool(item.changes)) for name, item in seen.items() if (said := _said(item))
    ]
    files = checked.reports[REPORT_TASK].get("changes")
    if isinstance(files, list) and files:
        found.append(Finding("files", "PgBouncer's files", [str(change) for change in files]))
    strangers = read_strangers(looked.reports.get(STRANGERS_TASK, {}))
    found += [Finding("stranger", f"{one.place}: {one.name}", [one.message], False) for one in strangers or ()]
    errors = [error.message for error in unseen.values() if error]
    errors += ["What nobody knows could not be looked for."] if strangers is None else []
    kinds = frozenset({"files"} if strangers is None else {"files", "stranger"})
    return Findings({name: item.generation for name, item in seen.items()}, found, kinds, errors[0] if errors else None)


def read_strangers(result: Mapping[str, Any]) -> list[Stranger] | None:
    """The strangers in the result of the task `Report strangers`; None when it has none that can be read."""
    try:
        return [Stranger.model_validate(one) for one in result["strangers"]]
    except (KeyError, TypeError, ValidationError):
        return None


def why(outcome: Outcome) -> str:
    """Why a run brought no report, for a person."""
    reasons: list[tuple[object, str]] = [
        (outcome.unreachable, "The host cannot be reached."),
        (outcome.stopped == "timeout", "The check took too long."),
        (outcome.stopped, "The worker was stopped."),
    ]
    return next((sentence for holds, sentence in reasons if holds), "The host gave no report.")


def _said(item: Item) -> list[str]:
    return [*item.changes, *item.notes, *([item.error.message] if item.error else [])]
