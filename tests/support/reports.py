"""Reports of hosts as the worker would have kept them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.models import Host, HostReport
from webapp.services import leases, sampling
from webapp.services.leases import Lease
from webapp.services.reports import Report


def database_report(name: str, **values: Any) -> dict[str, Any]:
    """One database of a report."""
    defaults = {
        "size_bytes": 1000,
        "clients_active": 1,
        "clients_waiting": 0,
        "last_connection_at": None,
        "transactions": 10,
        "blocks_hit": 90,
        "blocks_read": 10,
    }
    return {"name": name, **defaults, **values}


def make_report(*databases: dict[str, Any], **values: Any) -> Report:
    """The report of a host that is well."""
    defaults: dict[str, Any] = {
        "system": "Debian",
        "disks": [{"purpose": "data", "path": "/", "total_bytes": 1000, "free_bytes": 500}],
        "memory": {"total_bytes": 100, "available_bytes": 50},
        "load": {"one": 0.5, "five": 0.5, "fifteen": 0.5, "processors": 2},
        "certificate_expires_at": datetime.now(UTC) + timedelta(days=90),
        "postgres": {"version": "18.0", "max_connections": 400, "connections": 5, "started_at": datetime.now(UTC)},
        "pgbouncer": {
            "version": "1.24.1", "max_clients": 4000, "clients_active": 3, "clients_waiting": 0, "longest_wait_s": 0,
        },
        "databases": list(databases),
        "problems": [],
    }  # fmt: skip
    return Report.model_validate({**defaults, **values})


def lease(session: Session, host: Host) -> Lease:
    """The lease on *host*, whose report is due from now on."""
    leases.enrol(session, HostReport)
    now = text("UPDATE host_reports SET next_run_at = now() - interval '1 hour', leased_until = NULL")
    session.execute(now)
    [found] = [one for one in sampling.take_due(session, 30, 100) if one.host_id == host.id]
    session.commit()
    return found


def keep(session: Session, host: Host, report: Report) -> None:
    """Keep *report* as the newest of *host*."""
    assert sampling.keep(session, lease(session, host), report, 0.5)
    session.commit()
    session.expire_all()
