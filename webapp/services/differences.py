"""Differences between hosts and what they should be, for platform admins: listed, repaired, ignored."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Database, Difference, Host, HostCheck, Operation
from webapp.services import access, audit, databases, drift
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, DifferenceNotFound
from webapp.services.hosts import live


@dataclass
class HostDrift:
    """One host: when it was checked last, why the last check found nothing, and what differs."""

    name: str
    checked_at: datetime | None
    error: str | None
    differences: list[Difference] = field(default_factory=list)

    @property
    def open_differences(self) -> list[Difference]:
        """Those that nobody ignores."""
        return [one for one in self.differences if one.ignored_at is None]


def by_host(session: Session, actor: Actor) -> list[HostDrift]:
    """Every host by name with its differences, ignored ones last. Raises NotFound for all but platform admins."""
    access.require_platform_admin(actor)
    columns = Host.id, Host.name, HostCheck.checked_at, HostCheck.error
    query = select(*columns).outerjoin(HostCheck, HostCheck.host_id == Host.id).where(live())
    hosts = session.execute(query.order_by(Host.name))
    found = {row.id: HostDrift(row.name, row.checked_at, row.error) for row in hosts}
    order = Difference.ignored_at.is_not(None), Difference.kind, Difference.subject
    for one in session.scalars(select(Difference).where(Difference.host_id.in_(found)).order_by(*order)):
        found[one.host_id].differences.append(one)
    return list(found.values())


def of_database(session: Session, database: Database) -> Difference | None:
    """What differs about *database*, unless somebody ignores it; the caller has checked permission `view`."""
    query = select(Difference).where(Difference.database_id == database.id, Difference.ignored_at.is_(None))
    return session.scalar(query)


def repair(session: Session, actor: Actor, difference_id: uuid.UUID) -> Operation:
    """Queue an ordinary converge that makes it what it should be.

    Raises NotFound, Conflict for what nobody knows (it is left alone), or OperationInProgress.
    """
    difference = _find(session, actor, difference_id)
    if not difference.repairable:
        raise Conflict("There is nothing to repair it by: this is for a person to look at.")
    database = difference.database or _any_database(session, difference.host_id)
    drift.ask_for_check(session, difference.host_id)
    details = {"host": difference.host.name, "differences": difference.sentences}
    return databases.queue_change(session, actor, database, "database.repair", details=details)


def ignore(session: Session, actor: Actor, difference_id: uuid.UUID) -> Difference:
    """Say nothing more about it until it changes. Raises NotFound."""
    difference = _find(session, actor, difference_id)
    difference.ignored_at, difference.ignored_by = datetime.now(UTC), actor.label
    return _record(session, actor, "drift.ignore", difference)


def notice(session: Session, actor: Actor, difference_id: uuid.UUID) -> Difference:
    """Take an *ignore* back. Raises NotFound."""
    difference = _find(session, actor, difference_id)
    difference.ignored_at = difference.ignored_by = None
    return _record(session, actor, "drift.notice", difference)


def check_now(session: Session, actor: Actor) -> None:
    """Make the check of every host due; the workers begin within a second or so."""
    access.require_platform_admin(actor)
    drift.ask_for_check(session)
    audit.record(session, actor, "drift.check", "all hosts")


def _find(session: Session, actor: Actor, difference_id: uuid.UUID) -> Difference:
    access.require_platform_admin(actor)
    difference = session.get(Difference, difference_id)
    if difference is None:
        raise DifferenceNotFound
    return difference


def _any_database(session: Session, host_id: uuid.UUID) -> Database:
    """A database whose converge writes the host's files anew, as any does."""
    settled = drift.settled(session, host_id, drift.live(session, host_id))
    if not settled:
        raise Conflict("No database of this host is free to be converged; the next one writes the files anew.")
    return settled[0]


def _record(session: Session, actor: Actor, action: str, difference: Difference) -> Difference:
    details = {"host": difference.host.name, "differences": difference.sentences}
    audit.record(session, actor, action, difference.subject, database=difference.database, details=details)
    return difference
