"""What the clock alone asks for, as SQL on the control database: short, repeatable, by one worker at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from webapp.services import (
    audit_log,
    billing_events,
    copies,
    host_warnings,
    member_credentials,
    submitted_forms,
    subscriptions,
    user_deletions,
    webhook_deliveries,
)
from webapp.worker.slots import Slots

log = structlog.get_logger(__name__)

# Held until the transaction ends; another worker's chore is not waited for, its next one comes soon enough.
TAKE = text("SELECT pg_try_advisory_xact_lock(hashtext('dbhost chore'), hashtext(:name))")


@dataclass(frozen=True)
class Chore:
    """Something to look at every so often. It finds by itself what is due, so that a late one misses nothing."""

    name: str
    every_s: float
    work: Callable[[Session], object]


CHORES = (
    # Somebody whose membership ended waits for it.
    Chore("end_member_credentials", 1, member_credentials.queue_changed),
    Chore("drop_copies", 15, copies.queue_due),
    Chore("tell_of_unhealthy_hosts", 15, host_warnings.tell),
    Chore("end_grace", 60, subscriptions.end_grace),
    Chore("purge_users", 60, user_deletions.purge),
    Chore("forget_submitted_forms", 600, submitted_forms.purge_expired),
    Chore("redact_audit_events", 600, audit_log.redact),
    Chore("forget_billing_events", 3600, billing_events.forget),
    Chore("forget_webhook_deliveries", 3600, webhook_deliveries.forget),
)


class Chores:
    """One worker's share of the chores, in a thread of their own."""

    def __init__(self, sessions: sessionmaker[Session], chores: tuple[Chore, ...] = CHORES) -> None:
        self._sessions = sessions
        self._chores = chores
        self._next = dict.fromkeys((chore.name for chore in chores), 0.0)
        self._slots = Slots(1, "chores")

    def tick(self) -> None:
        """Start the chores whose time has come, unless the last ones are still under way."""
        if not self._slots.free:
            return
        now = time.monotonic()
        due = [chore for chore in self._chores if self._next[chore.name] <= now]
        if due:
            self._next |= {chore.name: now + chore.every_s for chore in due}
            self._slots.start(self._do, due)

    def close(self) -> None:
        """Wait for what is under way."""
        self._slots.close()

    def _do(self, due: list[Chore]) -> None:
        for chore in due:
            try:
                with self._sessions() as session:
                    if session.scalar(TAKE, {"name": chore.name}):
                        chore.work(session)
                        session.commit()
            except SQLAlchemyError as error:
                log.warning("chore_failed", chore=chore.name, error=type(error).__name__)
