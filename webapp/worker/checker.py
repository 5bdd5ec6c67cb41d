"""Check every host against the desired state on a schedule, beside the operations and without being one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from webapp.services import copies, drift, final_backups
from webapp.services.drift import Finding, Findings
from webapp.services.leases import Lease
from webapp.worker import desired, environment
from webapp.worker.hosts import Server
from webapp.worker.report import REPORT_TASK, Item
from webapp.worker.runner import Job, Outcome
from webapp.worker.slots import Slots

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
        self._slots = Slots(HOSTS_AT_ONCE, "checker")

    def tick(self) -> None:
        """Start a check that is due; cheap when none is."""
        settings = self._server.settings
        free = self._slots.free
        if not settings.check_every_s or not free or self._server.shutdown.asked:
            return
        with self._server.sessions() as session:
            leases = drift.take_due(session, settings.check_every_s, settings.run_timeout_s * LEASE_RUNS, free)
            session.commit()
        for lease in leases:
            self._slots.start(self._check, lease)

    def close(self) -> None:
        """Wait for what is under way; the shutdown ends it."""
        self._slots.close()

    def _check(self, lease: Lease) -> None:
        try:
            found = self._look(lease)
            kept = self._server.record(lambda session: _keep(session, lease, found))
        except (SQLAlchemyError, OSError) as error:
            log.warning("check_failed", host=lease.host_name, error=type(error).__name__)
            return
        reason = found if isinstance(found, str) else found.error
        if reason or not kept:
            log.warning("host_not_checked", host=lease.host_name, reason=reason, kept=kept)

    def _look(self, lease: Lease) -> Findings | str:
        """What differs on the host, or why that is not known."""
        with self._server.sessions() as session:
            live = drift.live(session, lease.host_id)
            settled = drift.settled(session, lease.host_id, live)
            wanted = [desired.tenant_database(database) for database in settled]
            roles = [member.credential.role for each in live for member in each.members if member.credential]
            left = final_backups.names_on(session, lease.host_id) + copies.names_on(session, lease.host_id)
            known = [database.name for database in live] + roles + left
        checked = self._run(lease, self._server.playbook, {"tenant_databases": wanted}, check=True)
        if REPORT_TASK not in checked.reports:
            return checked.why("check")
        looked = self._run(lease, STRANGERS, {"known_databases": known})
        return findings(checked, looked)

    def _run(self, lease: Lease, playbook: Path, variables: dict[str, Any], *, check: bool = False) -> Outcome:
        timeout_s = self._server.settings.run_timeout_s
        return self._server.look(Job(playbook, lease.host_name, variables, timeout_s, check))


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


def _said(item: Item) -> list[str]:
    return [*item.changes, *item.notes, *([item.error.message] if item.error else [])]
