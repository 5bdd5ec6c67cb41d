"""Invitations to a database: to be its member, or to take it over as its owner."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.databases import LEVELS, Database
from webapp.models.users import User

OFFERED = (*LEVELS, "owner")


class Invitation(Base):
    """An open invitation of an address; the row ends when it is accepted, declined or withdrawn.

    Of the secret in its link only the SHA-256 is kept. With level `owner` it offers the database itself, and `stays`
    says whether the owner of now becomes an admin member.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        one_of("level", OFFERED),
        Index("uq_invitations_member", "database_id", "email", unique=True, postgresql_where=text("level <> 'owner'")),
        Index("uq_invitations_transfer", "database_id", unique=True, postgresql_where=text("level = 'owner'")),
    )

    id: Mapped[Id]
    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"))
    # In lower case.
    email: Mapped[str] = mapped_column(index=True)
    level: Mapped[str]
    stays: Mapped[bool] = mapped_column(default=False, server_default="false")
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    invited_by_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    database: Mapped[Database] = relationship(lazy="joined", innerjoin=True)
    invited_by: Mapped[User] = relationship(lazy="joined", innerjoin=True)
