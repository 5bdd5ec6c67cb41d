"""Gauges for Prometheus from the hosts' last reports; what is not known is left out."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from webapp.services.health import DatabaseLine, HostFigures

HOST = {
    "databases": "Databases on the host.",
    "capacity": "Databases the host can take.",
    "open_operations": "Operations that have not ended.",
    "oldest_open_s": "Age of the oldest operation that has not ended, in seconds.",
    "problems": "How many things are wrong with the host.",
    "report_age_seconds": "Age of the host's last report.",
    "memory_total_bytes": "Memory of the host.",
    "memory_available_bytes": "Memory that programs could still get.",
    "load1": "Load average over one minute.",
    "processors": "Processors of the host.",
    "connections": "Connections to PostgreSQL.",
    "max_connections": "Connections that PostgreSQL takes.",
    "clients_active": "Clients of PgBouncer that do not wait.",
    "clients_waiting": "Clients of PgBouncer that wait for a server connection.",
    "longest_wait_seconds": "How long the first of them has waited.",
    "certificate_expiry_timestamp_seconds": "When PgBouncer's certificate ends.",
}
DISK = {"total_bytes": "Size of the filesystem.", "free_bytes": "Free bytes of the filesystem."}
DATABASE = {
    "size_bytes": "Size of the database on disk.",
    "clients_active": "Clients of the database that do not wait.",
    "clients_waiting": "Clients of the database that wait for a server connection.",
}


def hosts(registry: CollectorRegistry, figures: Iterable[HostFigures]) -> None:
    """The gauges of each host and of its filesystems."""
    gauges = {name: Gauge(f"dbhost_host_{name}", text, ["host"], registry=registry) for name, text in HOST.items()}
    disks = {
        name: Gauge(f"dbhost_host_disk_{name}", text, ["host", "purpose"], registry=registry)
        for name, text in DISK.items()
    }
    for host in figures:
        for name, value in host_values(host).items():
            if value is not None:
                gauges[name].labels(host.name).set(value)
        for disk in (host.report.disks if host.report else None) or ():
            for name, gauge in disks.items():
                gauge.labels(host.name, disk.purpose).set(getattr(disk, name))


def host_values(host: HostFigures) -> dict[str, float | None]:
    """The values by name of HOST."""
    counted = {name: getattr(host, name) for name in ("databases", "capacity", "open_operations", "oldest_open_s")}
    return counted | {"problems": len(host.problems), "report_age_seconds": host.report_age_s} | reported(host)


REPORTED = {
    "memory_total_bytes": ("memory", "total_bytes"),
    "memory_available_bytes": ("memory", "available_bytes"),
    "load1": ("load", "one"),
    "processors": ("load", "processors"),
    "connections": ("postgres", "connections"),
    "max_connections": ("postgres", "max_connections"),
    "clients_active": ("pgbouncer", "clients_active"),
    "clients_waiting": ("pgbouncer", "clients_waiting"),
    "longest_wait_seconds": ("pgbouncer", "longest_wait_s"),
}


def reported(host: HostFigures) -> dict[str, float | None]:
    """What only the host itself can say."""
    found = {name: getattr(getattr(host.report, part, None), field, None) for name, (part, field) in REPORTED.items()}
    ends = host.report.certificate_expires_at if host.report else None
    return found | {"certificate_expiry_timestamp_seconds": ends.timestamp() if ends else None}


def databases(registry: CollectorRegistry, lines: Iterable[DatabaseLine]) -> None:
    """The gauges of each database that a report has spoken of."""
    gauges = {}
    for name, text in DATABASE.items():
        gauges[name] = Gauge(f"dbhost_database_{name}", text, ["database", "host"], registry=registry)
    for line in lines:
        for name, gauge in gauges.items():
            gauge.labels(line.name, line.host).set(getattr(line, name))
