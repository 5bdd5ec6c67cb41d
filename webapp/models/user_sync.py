"""What an identity provider's user-sync webhook has told: each event once, and the newest word on each of its users."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base, CreatedAt


class UserSyncEvent(Base):
    """One event that was taken; its row stands or falls with its effect, so none counts twice."""

    __tablename__ = "user_sync_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    received_at: Mapped[CreatedAt] = mapped_column(index=True)


class SyncedUser(Base):
    """A user of the provider's. `told_at` is the time of the newest event, so that an older one changes nothing;
    one that was deleted there stays deleted.
    """

    __tablename__ = "synced_users"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    told_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
