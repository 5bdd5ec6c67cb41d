"""How hosts differ from what they should be: when each was looked at, and what was found."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.databases import Database, Host

DIFFERENCE_KINDS = ("database", "files", "stranger")


class HostCheck(Base):
    """When a host is checked next; who does it holds the lease. `error` is what the last check could not see."""

    __tablename__ = "host_checks"

    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    next_check_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    error: Mapped[str | None]


class Difference(Base):
    """One thing on one host that is not as it should be: a database, PgBouncer's files, or what nobody knows.

    `sentences` hold no secret. Whoever ignores it ignores these very sentences: others are news again.
    """

    __tablename__ = "differences"
    __table_args__ = (one_of("kind", DIFFERENCE_KINDS), UniqueConstraint("host_id", "kind", "subject"))

    id: Mapped[Id]
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"))
    database_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    subject: Mapped[str]
    sentences: Mapped[list[Any]] = mapped_column(JSONB)
    repairable: Mapped[bool]
    since: Mapped[CreatedAt]
    seen_at: Mapped[CreatedAt]
    ignored_at: Mapped[datetime | None]
    ignored_by: Mapped[str | None]

    host: Mapped[Host] = relationship(lazy="joined", innerjoin=True)
    database: Mapped[Database | None] = relationship(lazy="joined")

    @property
    def loses_data(self) -> bool:
        """Whether the database itself is missing: a repair makes an empty one."""
        return self.kind == "database" and any("CREATE DATABASE" in str(sentence) for sentence in self.sentences)
