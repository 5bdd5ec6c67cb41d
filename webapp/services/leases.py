"""Leases on what is looked at host by host on a schedule: one worker at a time looks, and a dead one is not waited for.

A table of such looks has a row a host, with `leased_until` and the time when the next one is due.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from webapp.models import Host, HostCheck, HostReport, Operation
from webapp.models.operations import is_due

type Looks = type[HostReport] | type[HostCheck]


@dataclass(frozen=True)
class Lease:
    """The right to look at one host, until then; what comes under a lease that was lost is not kept."""

    host_id: uuid.UUID
    host_name: str
    until: datetime
    began_at: datetime


@dataclass(frozen=True)
class Schedule:
    """Every *every_s* seconds, for *lease_s* at most. A host with *work* waits, for one more interval at most."""

    every_s: float
    lease_s: float
    work: ColumnElement[bool] = field(default_factory=is_due)


def enrol(session: Session, looks: Looks) -> None:
    """Have a row for each host; a new one is due at once."""
    hosts = select(Host.id).where(Host.removed_at.is_(None), ~select(looks).where(looks.host_id == Host.id).exists())
    session.execute(upsert(looks).from_select(["host_id"], hosts).on_conflict_do_nothing())


def take_due(
    session: Session, looks: Looks, due_at: InstrumentedAttribute[datetime], schedule: Schedule, limit: int
) -> list[Lease]:
    """Lease up to *limit* hosts that are due and in service. The caller commits before it looks at them."""
    enrol(session, looks)
    every, lasts = _seconds(schedule.every_s), _seconds(schedule.lease_s)
    values = {looks.leased_until: func.now() + lasts, due_at: func.now() + every}
    leased = update(looks).where(looks.host_id.in_(_due(looks, due_at, schedule, limit))).values(values)
    begun = leased.returning(looks.host_id, looks.leased_until, func.now())
    taken = session.execute(begun.execution_options(synchronize_session=False)).all()
    named = select(Host.id, Host.name).where(Host.id.in_([row[0] for row in taken]))
    names = {row.id: row.name for row in session.execute(named)}
    return [Lease(row[0], names[row[0]], cast(datetime, row[1]), row[2]) for row in taken]


def _due(looks: Looks, due_at: InstrumentedAttribute[datetime], schedule: Schedule, limit: int) -> Select[uuid.UUID]:
    """Hosts to lease; an alias, since the table is the one that is written."""
    row = aliased(looks)
    at, now = getattr(row, due_at.key), func.now()
    working = select(Operation.id).where(Operation.host_id == row.host_id, schedule.work).exists()
    in_service = Host.state.in_(("active", "draining")) & Host.key_refused_at.is_(None)
    return (
        select(row.host_id)
        .join(Host, Host.id == row.host_id)
        .where(in_service, at <= now, or_(row.leased_until.is_(None), row.leased_until <= now))
        .where(or_(at <= now - _seconds(schedule.every_s), ~working))
        .order_by(at)
        .limit(limit)
        .with_for_update(of=row, skip_locked=True)
    )


def end(session: Session, looks: Looks, lease: Lease, **values: Any) -> bool:
    """Give the lease back with what came of it. False, with nothing written, if it was lost."""
    mine = update(looks).where(looks.host_id == lease.host_id, looks.leased_until == lease.until)
    done = cast(CursorResult[Any], session.execute(mine.values(leased_until=None, **values)))
    return done.rowcount == 1


def _seconds(count: float) -> ColumnElement[Any]:
    return func.make_interval(0, 0, 0, 0, 0, 0, float(count))
