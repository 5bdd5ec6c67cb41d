"""Hosts: which there are, and which one a new database goes to."""

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from webapp.models import Database, Host
from webapp.services import audit
from webapp.services.actors import Actor
from webapp.services.errors import HostNotFound, HostUnavailable

EMBEDDED = "local"


def live() -> ColumnElement[bool]:
    """Of the hosts that were not removed."""
    return Host.removed_at.is_(None)


def held() -> ColumnElement[bool]:
    """Of the hosts on which operations wait: `Host.is_held` in SQL."""
    return or_(Host.state == "offline", Host.key_refused_at.is_not(None))


def by_name(session: Session, name: str) -> Host:
    """Raises HostNotFound, also for a host that was removed."""
    host = session.scalar(select(Host).where(Host.name == name, live()))
    if host is None:
        raise HostNotFound
    return host


def reached_by_ssh(session: Session) -> list[Host]:
    """The hosts that no inventory file describes, by name."""
    return list(session.scalars(select(Host).where(live(), Host.address.is_not(None)).order_by(Host.name)))


def ensure_host(
    session: Session,
    actor: Actor,
    name: str,
    public_host: str,
    pgbouncer_port: int,
    tls_root: str | None = None,
    *,
    direct_port: int = 6433,
) -> Host:
    """The host named *name* as clients reach it, made or brought up to date; they verify it by *tls_root*."""
    told = {
        "public_host": public_host,
        "pgbouncer_port": pgbouncer_port,
        "pgbouncer_direct_port": direct_port,
        "tls_root": tls_root,
    }
    host = session.scalar(select(Host).where(Host.name == name, live()))
    if host is None:
        host = Host(name=name, **told)
        session.add(host)
        audit.record(session, actor, "host.add", name)
    elif any(getattr(host, field) != value for field, value in told.items()):
        for field, value in told.items():
            setattr(host, field, value)
        audit.record(session, actor, "host.update", name)
    return host


def drain_embedded(session: Session, actor: Actor) -> None:
    """Let new databases go to the fleet: the embedded host keeps those that it has."""
    embedded = session.scalar(select(Host).where(Host.name == EMBEDDED, Host.state == "active", live()))
    if embedded is not None:
        embedded.state = "draining"
        audit.record(session, actor, "host.drain", EMBEDDED)


NO_ROOM = (
    "No host has room for another database: each is full, out of service, or short of disk, memory or connections."
)


def place(session: Session, *conditions: ColumnElement[bool]) -> Host:
    """The active host with the most room that meets *conditions*, which stays until the caller's transaction ends.

    A host with problems comes after those that are well, and one that is short of something is left out.
    Raises HostUnavailable when every host is full, or does not take new databases.
    """
    used = (
        select(Database.host_id, func.count().label("databases"))
        .where(Database.deleted_at.is_(None))
        .group_by(Database.host_id)
        .subquery()
    )
    room = Host.capacity - func.coalesce(used.c.databases, 0)
    takes_new = and_(Host.state == "active", Host.key_refused_at.is_(None), Host.short_of.is_(None), live())
    query = (
        select(Host)
        .outerjoin(used, used.c.host_id == Host.id)
        .where(takes_new, room > 0, *conditions)
        .order_by(Host.unhealthy_since.is_not(None), room.desc(), Host.name)
        .limit(1)
        .with_for_update(of=Host, read=True, key_share=True)
    )
    host = session.scalar(query)
    if host is None:
        raise HostUnavailable(NO_ROOM)
    return host
