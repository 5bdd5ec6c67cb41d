"""Backups: finished dumps with their checksums, and when each database's next backup and drill are due."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.databases import Database, Host

BACKUP_KINDS = ("manual", "scheduled", "final", "safety")
# `available` alone is a backup that anybody may see: everything else is on its way in or out, or never was one.
BACKUP_STATES = ("creating", "available", "failed", "deleting")
STORES = ("host", "s3")


class Backup(Base):
    """One dump of one database. It stays after its database was deleted, until it expires."""

    __tablename__ = "backups"
    __table_args__ = (
        one_of("kind", BACKUP_KINDS),
        one_of("state", BACKUP_STATES),
        one_of("store", STORES),
        UniqueConstraint("database_id", "filename"),
        Index("ix_backups_expires", "expires_at", postgresql_where=text("state IN ('available', 'failed')")),
        Index("ix_backups_deleting", "host_id", postgresql_where=text("state = 'deleting'")),
    )

    id: Mapped[Id]
    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id"))
    # Where the dump was made; with the store `host` also where it lies.
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id"))
    filename: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="creating", server_default="creating")
    store: Mapped[str]
    upload_id: Mapped[str | None]
    encrypted: Mapped[bool] = mapped_column(default=False, server_default="false")
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    server_version: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    proven_at: Mapped[datetime | None]
    # Why the last drill did not prove it; None once one has.
    drill_error: Mapped[str | None]

    database: Mapped[Database] = relationship(lazy="joined", innerjoin=True)
    host: Mapped[Host] = relationship(lazy="joined", innerjoin=True)


class BackupSchedule(Base):
    """When a database is backed up by itself and how long backups are kept; each active database gets one."""

    __tablename__ = "backup_schedules"
    __table_args__ = (Index("ix_backup_schedules_due", "next_run_at", postgresql_where=text("enabled")),)

    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True, server_default="true")
    hour_utc: Mapped[int] = mapped_column(default=2, server_default="2")
    every_hours: Mapped[int] = mapped_column(default=24, server_default="24")
    retention_days: Mapped[int] = mapped_column(default=30, server_default="30")
    next_run_at: Mapped[datetime]
    next_drill_at: Mapped[datetime] = mapped_column(server_default=func.now())
