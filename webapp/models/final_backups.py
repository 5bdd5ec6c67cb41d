"""Final backups that are still to be made: the database is deleted, and kept aside on its host until it is dumped."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.backups import Backup
from webapp.models.base import Base, CreatedAt
from webapp.models.databases import Database, Host


class FinalBackup(Base):
    """What is left to do for one deleted database; the row goes with what is kept aside on the host under *name*.

    Whoever works at it has a lease. Without a backup there is nothing to dump: its owner wanted none.
    """

    __tablename__ = "final_backups"
    __table_args__ = (Index("ix_final_backups_due", "next_attempt_at"),)

    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id"))
    backup_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("backups.id"), index=True)
    # Since when it is kept aside; before that, deleting it has not come so far.
    held_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    error: Mapped[str | None]
    # When its people were told that it fails.
    told_at: Mapped[datetime | None]
    lease: Mapped[uuid.UUID | None]
    leased_until: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    database: Mapped[Database] = relationship(lazy="joined", innerjoin=True)
    host: Mapped[Host] = relationship(lazy="joined", innerjoin=True)
    backup: Mapped[Backup | None] = relationship(lazy="joined")
