"""A host's report as the control plane keeps it: an allow-list of what playbooks/report.yml says."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a report; what a newer module says beyond it is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Disk(Part):
    purpose: str
    path: str
    total_bytes: int
    free_bytes: int


class Memory(Part):
    total_bytes: int
    available_bytes: int


class Load(Part):
    one: float
    five: float
    fifteen: float
    processors: int


class Postgres(Part):
    version: str
    max_connections: int
    connections: int
    started_at: datetime


class PgBouncer(Part):
    version: str
    max_clients: int
    clients_active: int
    clients_waiting: int
    longest_wait_s: int


class DatabaseReport(Part):
    """One database. Counters count from the last restart of the program that counts."""

    name: str
    size_bytes: int
    clients_active: int
    clients_waiting: int
    last_connection_at: datetime | None
    direct_clients: int = 0
    transactions: int
    blocks_hit: int
    blocks_read: int


class Problem(Part):
    """A part that could not be had."""

    part: str
    message: str


class Journal(Part):
    """What people changed by playbook since the last report; each entry is looked at when it is kept."""

    entries: list[Any]
    read_to: int


class Report(Part):
    """One host at one moment; a part that could not be had is None."""

    system: str
    disks: list[Disk] | None
    memory: Memory | None
    load: Load | None
    certificate_begins_at: datetime | None = None
    certificate_expires_at: datetime | None
    postgres: Postgres | None
    pgbouncer: PgBouncer | None
    pgbouncer_direct: PgBouncer | None = None
    databases: list[DatabaseReport] | None
    problems: list[Problem]
    journal: Journal | None = None
