"""Users who were deleted, and until when that can be undone."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt
from webapp.models.users import User


class UserDeletion(Base):
    """A deleted user, whose databases are stopped and go for good at `purge_at`, their own data with them."""

    __tablename__ = "user_deletions"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    deleted_at: Mapped[CreatedAt]
    purge_at: Mapped[datetime] = mapped_column(index=True)
    purged_at: Mapped[datetime | None]
    stopped_databases: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)
