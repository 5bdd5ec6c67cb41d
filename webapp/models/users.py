"""Users, their sign-in sessions and their API keys."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of

PLATFORM_ROLES = ("user", "admin")
USER_STATES = ("active", "banned", "deleted")
KEY_SCOPES = ("full", "selected")


class User(Base):
    """A person: one verified e-mail is one user."""

    __tablename__ = "users"
    __table_args__ = (
        one_of("platform_role", PLATFORM_ROLES),
        one_of("state", USER_STATES),
        Index("uq_users_email_lower", text("lower(email)"), unique=True),
    )

    id: Mapped[Id]
    email: Mapped[str]
    password_hash: Mapped[str | None]
    platform_role: Mapped[str] = mapped_column(default="user", server_default="user")
    state: Mapped[str] = mapped_column(default="active", server_default="active")
    plan: Mapped[str]
    created_at: Mapped[CreatedAt]

    @property
    def is_admin(self) -> bool:
        return self.platform_role == "admin"


class AuthSession(Base):
    """One signed-in browser; only the SHA-256 of its token is kept."""

    __tablename__ = "auth_sessions"

    id: Mapped[Id]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    confirmed_at: Mapped[CreatedAt]
    revoked_at: Mapped[datetime | None]
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    # Whom an admin looks at DBHost as, in this browser: services/viewing.py.
    viewing_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True, foreign_keys=[user_id])
    viewing: Mapped[User | None] = relationship(lazy="joined", foreign_keys=[viewing_id])


class ApiKey(Base):
    """A program's way in: `dbh_` and a random secret, of which only prefix and SHA-256 are kept."""

    __tablename__ = "api_keys"
    __table_args__ = (one_of("scope", KEY_SCOPES),)

    id: Mapped[Id]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    label: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scope: Mapped[str]
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]
    last_used_ip: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    databases: Mapped[list["ApiKeyDatabase"]] = relationship(lazy="selectin", cascade="all, delete-orphan")

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)

    @property
    def database_ids(self) -> set[uuid.UUID]:
        return {link.database_id for link in self.databases}


class ApiKeyDatabase(Base):
    """One database that a selected key may touch; fixed for the key's life."""

    __tablename__ = "api_key_databases"

    api_key_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"), primary_key=True)
