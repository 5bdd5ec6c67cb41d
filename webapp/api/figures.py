"""Figures of hosts and databases as the API gives them: the models, and what they are made from."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast, get_args, overload

from pydantic import Field, WithJsonSchema

from webapp.api.schemas import Answer, Query
from webapp.services import health, metrics

Range = Literal["hour", "day", "week", "month", "year"]


class DiskHealth(Answer):
    purpose: str = Field(description="`data` or `wal`.")
    total_bytes: int
    free_bytes: int


class HostHealth(Answer):
    name: str
    state: Literal["enrolling", "active", "draining", "offline"]
    region: str
    databases: int
    capacity: int
    open_operations: int
    oldest_open_s: float
    reported_at: datetime | None = Field(description="When the figures below were taken; null before the first report.")
    system: str | None
    postgres_version: str | None
    pgbouncer_version: str | None
    disks: list[DiskHealth]
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    load: float | None = Field(description="The load average over one minute.")
    processors: int | None
    connections: int | None = Field(description="PostgreSQL's connections.")
    max_connections: int | None
    clients_active: int | None = Field(description="Clients of PgBouncer that do not wait for a connection.")
    clients_waiting: int | None
    max_clients: int | None
    certificate_expires_at: datetime | None
    problems: list[str] = Field(description="What is wrong, in sentences; empty when the host is well.")


class MetricsQuery(Query):
    range: Annotated[Range, WithJsonSchema({"enum": list(get_args(Range))})] = "day"


class MetricsPoint(Answer):
    """A database over one step of the series, which begins at `at`; clients are the most that were seen."""

    at: datetime
    size_bytes: int
    clients_active: int
    clients_waiting: int
    transactions_per_s: float | None
    cache_hit_ratio: float | None = Field(description="Of the blocks that were read, those found in memory: 0 to 1.")


class Metrics(Answer):
    size_bytes: int
    clients_active: int
    clients_waiting: int
    last_connection_at: datetime | None
    sampled_at: datetime | None = Field(description="When the host last reported; null before the first time.")
    step_s: int = Field(description="How many seconds each point covers.")
    series: list[MetricsPoint] = Field(description="Oldest first; times without a report are left out.")


class Health(Answer):
    status: Literal["healthy", "degraded"]
    hosts: list[HostHealth]


def of_database(row: metrics.Metrics) -> Metrics:
    points = [MetricsPoint(**{**asdict(point), "at": utc(point.at)}) for point in row.series]
    return Metrics(
        size_bytes=row.size_bytes,
        clients_active=row.clients_active,
        clients_waiting=row.clients_waiting,
        last_connection_at=utc(row.last_connection_at),
        sampled_at=utc(row.sampled_at),
        step_s=int(row.step.total_seconds()),
        series=points,
    )


def of_host(row: health.HostFigures) -> HostHealth:
    """A host with its report flattened; parts that are not known are null."""
    report = row.report
    disks = (report.disks if report else None) or []

    def of(part: str, field: str) -> Any:
        return getattr(getattr(report, part, None), field, None)

    return HostHealth(
        name=row.name,
        state=cast(Any, row.state),
        region=row.region,
        databases=row.databases,
        capacity=row.capacity,
        open_operations=row.open_operations,
        oldest_open_s=row.oldest_open_s,
        reported_at=utc(row.reported_at),
        system=report.system if report else None,
        postgres_version=of("postgres", "version"),
        pgbouncer_version=of("pgbouncer", "version"),
        disks=[
            DiskHealth(purpose=disk.purpose, total_bytes=disk.total_bytes, free_bytes=disk.free_bytes) for disk in disks
        ],
        memory_total_bytes=of("memory", "total_bytes"),
        memory_available_bytes=of("memory", "available_bytes"),
        load=of("load", "one"),
        processors=of("load", "processors"),
        connections=of("postgres", "connections"),
        max_connections=of("postgres", "max_connections"),
        clients_active=of("pgbouncer", "clients_active"),
        clients_waiting=of("pgbouncer", "clients_waiting"),
        max_clients=of("pgbouncer", "max_clients"),
        certificate_expires_at=utc(report.certificate_expires_at) if report else None,
        problems=row.problems,
    )


@overload
def utc(moment: datetime) -> datetime: ...


@overload
def utc(moment: None) -> None: ...


def utc(moment: datetime | None) -> datetime | None:
    """*moment* as the API gives it."""
    return None if moment is None else moment.astimezone(UTC)
