"""What is kept about requests: audit events, idempotency keys, rate-limit counters."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base, CreatedAt, one_of

ACTOR_TYPES = ("user", "api_key", "system")


class AuditEvent(Base):
    """Who asked for what, when and from where. A trigger refuses every UPDATE and DELETE.

    After twelve months the actor is redacted, which is the one change that the trigger lets through.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        one_of("actor_type", ACTOR_TYPES),
        Index("ix_audit_events_database", "database_id", text("id DESC")),
        Index(
            "ix_audit_events_unredacted",
            "at",
            postgresql_where=text("actor_type <> 'system' AND actor_label <> 'redacted'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[CreatedAt]
    actor_type: Mapped[str]
    actor_user_id: Mapped[uuid.UUID | None]
    actor_api_key_id: Mapped[uuid.UUID | None]
    actor_label: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    database_id: Mapped[uuid.UUID | None]
    operation_id: Mapped[uuid.UUID | None]
    request_id: Mapped[str | None]
    ip: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class IdempotencyKey(Base):
    """The first answer to a POST, given again when the same key comes with the same body.

    The answer may hold a password, so it is kept encrypted and only for a day.
    """

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    operation_id: Mapped[uuid.UUID | None]
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    body_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SubmittedForm(Base):
    """What came of a form that makes something, given again when the same form of the same browser is sent again.

    The answer may show a secret, so it is kept encrypted and only for a while.
    """

    __tablename__ = "submitted_forms"

    auth_session_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("auth_sessions.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    answer_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RateCounter(Base):
    """Requests counted in one window of one key; an unlogged table, since a lost count costs nothing."""

    __tablename__ = "rate_counters"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key: Mapped[str] = mapped_column(primary_key=True)
    hits: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime] = mapped_column(index=True)
