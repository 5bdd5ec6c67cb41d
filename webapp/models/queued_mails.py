"""Mails that a transaction asked for and that are sent after it, by whoever reaches the mail server."""

from datetime import datetime

from sqlalchemy import false, func
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base, CreatedAt, Id


class QueuedMail(Base):
    """A mail on its way; gone once it is sent. A text that may let somebody in is *sealed*: encrypted, in base64."""

    __tablename__ = "queued_mails"

    id: Mapped[Id]
    recipient: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    sealed: Mapped[bool] = mapped_column(default=False, server_default=false())
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    created_at: Mapped[CreatedAt]
