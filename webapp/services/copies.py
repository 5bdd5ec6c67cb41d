"""Copies that moves leave behind. Each is dropped by an operation, as soon as its host can be reached."""

import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, false, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from webapp.models import Copy, Database, Host, HostReport, Member, MemberCredential, Operation
from webapp.services import audit, hosts, operations
from webapp.services.actors import SYSTEM
from webapp.services.errors import HostUnavailable, OperationInProgress

KIND = "database.drop_copy"
# One that could not be dropped is in nobody's way. A host that was away is asked again when it has reported since.
AGAIN_AFTER = timedelta(minutes=15)


def note(session: Session, database: Database, host_id: uuid.UUID) -> None:
    """From now on something of the database may be on a host that is not its own."""
    values = {"database_id": database.id, "host_id": host_id, "name": database.name}
    session.execute(upsert(Copy).values(values).on_conflict_do_nothing())


def forget(session: Session, database_id: uuid.UUID, host_id: uuid.UUID) -> None:
    """Nothing is there any more, or all of it is: it is the database's own host now."""
    session.execute(delete(Copy).where(Copy.database_id == database_id, Copy.host_id == host_id))


def name_of(session: Session, database_id: uuid.UUID, host_id: uuid.UUID) -> str | None:
    """What the copy is called there; None where there is none, or the host has become the database's own."""
    query = select(Copy.name).join(Database, Database.id == Copy.database_id)
    here = Copy.database_id == database_id, Copy.host_id == host_id
    return session.scalar(query.where(*here, Database.host_id != Copy.host_id))


def none_on_host(name: str, database_id: uuid.UUID) -> ColumnElement[bool]:
    """Of hosts: no copy there is in the way of this database, by its name or as its own."""
    return ~exists().where(Copy.host_id == Host.id, or_(Copy.name == name, Copy.database_id == database_id))


def of_others(session: Session, database: Database, host: Host) -> bool:
    """Whether the host still has a copy of another database, deleted since, that had the same name."""
    others = Copy.host_id == host.id, Copy.name == database.name, Copy.database_id != database.id
    return session.scalar(select(Copy.name).where(*others).limit(1)) is not None


def names_on(session: Session, host_id: uuid.UUID) -> list[str]:
    """What copies on the host are called, and their members' roles."""
    names = select(Copy.name).where(Copy.host_id == host_id)
    roles = select(MemberCredential.role).join(Member).join(Copy, Copy.database_id == Member.database_id)
    return [*session.scalars(names), *session.scalars(roles.where(Copy.host_id == host_id))]


def queue_due(session: Session) -> int:
    """Queue the end of copies whose host can be reached and whose database has nothing else to do; how many.

    The caller commits.
    """
    session.execute(delete(Copy).where(Copy.host_id.in_(select(Host.id).where(Host.removed_at.is_not(None)))))
    here = Operation.database_id == Copy.database_id
    busy = exists().where(here, Operation.lane == "long", Operation.state.in_(("queued", "running")))
    tried = Operation.kind == KIND, Operation.host_id == Copy.host_id, Operation.created_at > func.now() - AGAIN_AFTER
    back = Operation.error_code == HostUnavailable.code, HostReport.sampled_at > Operation.ended_at
    query = (
        select(Copy)
        .join(Host, Host.id == Copy.host_id)
        .join(Database, Database.id == Copy.database_id)
        .outerjoin(HostReport, HostReport.host_id == Host.id)
        .where(~hosts.held(), HostReport.error.is_(None), Database.host_id != Copy.host_id)
        .where(~busy, ~exists().where(here, *tried, ~func.coalesce(and_(*back), false())).correlate(Copy, HostReport))
    )
    return sum(_queue(session, copy) for copy in session.scalars(query.with_for_update(of=Copy, skip_locked=True)))


def _queue(session: Session, copy: Copy) -> bool:
    try:
        operation = operations.enqueue(session, KIND, copy.database, SYSTEM, lane="long", host=copy.host)
    except OperationInProgress:
        return False
    details = {"host": copy.host.name}
    audit.record(session, SYSTEM, KIND, copy.name, database=copy.database, operation=operation, details=details)
    return True
