"""How hosts and databases are: the newest report of each, and samples whose resolution falls as they age."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base


class HostReport(Base):
    """The newest report of a host, and when the next one is due; a worker that makes one holds the lease."""

    __tablename__ = "host_reports"

    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    next_run_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime | None]
    sampled_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[str | None]


class DatabaseFigures(Base):
    """What was last known of a database's clients; its size stands in `databases`."""

    __tablename__ = "database_figures"

    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), primary_key=True)
    sampled_at: Mapped[datetime]
    clients_active: Mapped[int]
    clients_waiting: Mapped[int]
    last_connection_at: Mapped[datetime | None]


class DatabaseSample(Base):
    """One database over `duration_s` seconds that ended at `at` (raw), or that began then (`resolution_s` > 0).

    Counts are of that time; sizes are the last, clients the most that were seen in it.
    """

    __tablename__ = "database_samples"
    __table_args__ = (Index("ix_database_samples_age", "resolution_s", "at"),)

    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), primary_key=True)
    resolution_s: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    duration_s: Mapped[float]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    clients_active: Mapped[int]
    clients_waiting: Mapped[int]
    transactions: Mapped[int] = mapped_column(BigInteger)
    blocks_hit: Mapped[int] = mapped_column(BigInteger)
    blocks_read: Mapped[int] = mapped_column(BigInteger)
