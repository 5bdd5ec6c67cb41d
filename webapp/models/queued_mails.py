"""Mails that a transaction asked for and that are sent after it, by whoever reaches the mail server."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base, CreatedAt, Id


class QueuedMail(Base):
    """A notice on its way; gone once it is sent. The text must hold no secret and no link that lets somebody in."""

    __tablename__ = "queued_mails"

    id: Mapped[Id]
    recipient: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    created_at: Mapped[CreatedAt]
