"""Outgoing webhooks: where users want to be told of events, and each message on its way to one of these places."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.users import User

ENDPOINT_STATES = ("active", "disabled")
DELIVERY_STATES = ("queued", "succeeded", "failed")


class WebhookEndpoint(Base):
    """An address of a user's that is told of the events it chose; its signing secrets are encrypted by the vault.

    Whoever sends to it holds the lease, so that it gets one message at a time. After failures it rests a while.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (one_of("state", ENDPOINT_STATES),)

    id: Mapped[Id]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSONB)
    secret_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    # The one before signs too until then, so that a receiver has time to take over the new one.
    previous_secret_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(default="active", server_default="active")
    disabled_reason: Mapped[str | None]
    # In a row; 0 and NULL after the first success.
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    failing_since: Mapped[datetime | None]
    rests_until: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class WebhookDelivery(Base):
    """One message to one endpoint; `message_id` is the same in every attempt. `attempt` counts begun ones: a fence."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("state", DELIVERY_STATES),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'queued'")),
        Index("ix_webhook_deliveries_endpoint", "endpoint_id", text("created_at DESC")),
    )

    id: Mapped[Id]
    endpoint_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    message_id: Mapped[str]
    event: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(default="queued", server_default="queued")
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    status_code: Mapped[int | None]
    error: Mapped[str | None]
    took_ms: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    attempted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    endpoint: Mapped[WebhookEndpoint] = relationship(lazy="joined", innerjoin=True)
    attempts: Mapped[list["WebhookAttempt"]] = relationship(order_by="WebhookAttempt.id", passive_deletes=True)


class WebhookAttempt(Base):
    """One try of a delivery that ended, with the beginning of what the receiver answered."""

    __tablename__ = "webhook_attempts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    delivery_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    at: Mapped[CreatedAt]
    status_code: Mapped[int | None]
    error: Mapped[str | None]
    took_ms: Mapped[int]
    response: Mapped[str] = mapped_column(default="", server_default="")
