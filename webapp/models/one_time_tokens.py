"""Secrets that work once and for a short time: links sent by mail, and steps of a sign-in."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.users import User

PURPOSES = ("sign_up", "reset_password", "change_email", "second_factor", "passkey", "saml_request", "saml_answer")


class OneTimeToken(Base):
    """One such secret, of which only the SHA-256 is kept, and what it allows."""

    __tablename__ = "one_time_tokens"
    __table_args__ = (one_of("purpose", PURPOSES),)

    id: Mapped[Id]
    purpose: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    email: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(lazy="joined")
