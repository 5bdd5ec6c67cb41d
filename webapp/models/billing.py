"""What Stripe says of a user's subscription, and each event of Stripe's, once."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, one_of
from webapp.models.users import User

# Stripe's own words; `none` is a customer who never subscribed.
SUBSCRIPTION_STATUSES = (
    "none",
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
)
PAYS = ("trialing", "active", "past_due")


class Subscription(Base):
    """A user as a customer of Stripe's: the subscription as it was last fetched, and the plan it gives.

    `granted_plan` is what the user has by it, null when nothing; `past_due_since` is when a payment failed first.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (one_of("status", SUBSCRIPTION_STATUSES),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(unique=True)
    subscription_id: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(default="none", server_default="none")
    plan: Mapped[str | None]
    granted_plan: Mapped[str | None]
    period_ends_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    fetched_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)

    @property
    def is_live(self) -> bool:
        """Whether Stripe still charges for it, or tries to."""
        return self.status in PAYS


class BillingEvent(Base):
    """One event of Stripe's that was taken; its row stands or falls with its effect, so none counts twice."""

    __tablename__ = "billing_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime]
    received_at: Mapped[CreatedAt]
