"""Hosts and placement: which machine a new database goes to."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import Database, Host
from webapp.services import audit
from webapp.services.actors import Actor
from webapp.services.errors import HostUnavailable

EMBEDDED = "local"


def ensure_host(session: Session, actor: Actor, name: str, public_host: str, pgbouncer_port: int) -> Host:
    """The host named *name* with this public address, made or brought up to date."""
    host = session.scalar(select(Host).where(Host.name == name))
    if host is None:
        host = Host(name=name, public_host=public_host, pgbouncer_port=pgbouncer_port)
        session.add(host)
        audit.record(session, actor, "host.add", name)
    elif (host.public_host, host.pgbouncer_port) != (public_host, pgbouncer_port):
        host.public_host, host.pgbouncer_port = public_host, pgbouncer_port
        audit.record(session, actor, "host.update", name)
    return host


def drain_embedded(session: Session, actor: Actor) -> None:
    """Let new databases go to the fleet: the embedded host keeps those that it has."""
    embedded = session.scalar(select(Host).where(Host.name == EMBEDDED, Host.state == "active"))
    if embedded is not None:
        embedded.state = "draining"
        audit.record(session, actor, "host.drain", EMBEDDED)


def place(session: Session) -> Host:
    """The active host with the most room. Raises HostUnavailable when every host is full, draining or offline."""
    used = (
        select(Database.host_id, func.count().label("databases"))
        .where(Database.deleted_at.is_(None))
        .group_by(Database.host_id)
        .subquery()
    )
    room = Host.capacity - func.coalesce(used.c.databases, 0)
    query = (
        select(Host)
        .outerjoin(used, used.c.host_id == Host.id)
        .where(Host.state == "active", room > 0)
        .order_by(room.desc(), Host.name)
        .limit(1)
    )
    host = session.scalar(query)
    if host is None:
        raise HostUnavailable("No host has room for another database.")
    return host
