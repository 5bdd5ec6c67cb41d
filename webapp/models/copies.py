"""Copies that moves leave behind: of a database, on a host that it is not on, closed."""

import uuid

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt
from webapp.models.databases import Database, Host


class Copy(Base):
    """Something of the database may be on this host under *name*; the row goes when nothing is."""

    __tablename__ = "copies"

    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id"), primary_key=True, index=True)
    name: Mapped[str]
    created_at: Mapped[CreatedAt]

    database: Mapped[Database] = relationship(lazy="joined", innerjoin=True)
    host: Mapped[Host] = relationship(lazy="joined", innerjoin=True)
