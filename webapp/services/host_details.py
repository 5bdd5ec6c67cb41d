"""Hosts with their figures, for platform admins and for the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import AuditEvent, Host, Operation
from webapp.services import health, hosts
from webapp.services.health import HostFigures
from webapp.services.host_keys import fingerprint


@dataclass(frozen=True)
class HostDetails:
    """One host: how it is reached, and how it is."""

    host: Host
    figures: HostFigures

    @property
    def fingerprints(self) -> list[str]:
        """Of the pinned keys, as OpenSSH shows them."""
        return [fingerprint(key) for key in self.host.host_keys]

    @property
    def room(self) -> int:
        """How many databases may still be placed there."""
        return max(0, self.host.capacity - self.figures.databases)


def list_hosts(session: Session) -> list[HostDetails]:
    """All that were not removed, by name."""
    figures = {row.name: row for row in health.host_figures(session)}
    rows = session.scalars(select(Host).where(hosts.live()).order_by(Host.name))
    return [HostDetails(row, figures[row.name]) for row in rows if row.name in figures]


def show_host(session: Session, name: str) -> HostDetails:
    """Raises HostNotFound."""
    host = hosts.by_name(session, name)
    return HostDetails(host, health.host_figures(session, Host.id == host.id)[0])


def open_operations(session: Session, host: Host, limit: int = 20) -> list[Operation]:
    """What waits for the host or is under way there, the oldest first."""
    query = select(Operation).where(Operation.host_id == host.id, Operation.state.in_(("queued", "running")))
    return list(session.scalars(query.order_by(Operation.created_at).limit(limit)))


def recent_events(session: Session, host: Host, limit: int = 8) -> list[AuditEvent]:
    """What was done to the host itself, the newest first."""
    query = select(AuditEvent).where(AuditEvent.action.like("host.%"), AuditEvent.subject == host.name)
    return list(session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit)))


def backups_at_risk() -> str | None:
    """A sentence for operators while a host that is lost takes its backups with it; None with an object store."""
    if settings().s3_bucket:
        return None
    return (
        "Backups lie on the same disks as the databases: a host that is lost takes its backups with it. "
        "Set DBHOST_S3_BUCKET to keep them in an object store."
    )


def as_values(details: HostDetails) -> Mapping[str, Any]:
    """For `--json`, with the field names of the API."""
    host, figures = details.host, details.figures
    return {
        "name": host.name,
        "state": host.state,
        "region": host.region,
        "address": host.address,
        "sshPort": host.ssh_port,
        "publicHost": host.public_host,
        "pgbouncerPort": host.pgbouncer_port,
        "pgbouncerDirectPort": host.pgbouncer_direct_port,
        "hostKeyFingerprints": details.fingerprints,
        "databases": figures.databases,
        "capacity": host.capacity,
        "openOperations": figures.open_operations,
        "reportedAt": figures.reported_at.isoformat() if figures.reported_at else None,
        "problems": figures.problems,
    }
