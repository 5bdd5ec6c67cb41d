"""Hosts and tenant databases: the desired state, and what was last known to be true."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Sequence, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, CIDR, JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.users import User

# Only an active host gets new databases; on an offline one nothing is carried out.
HOST_STATES = ("enrolling", "active", "draining", "offline")
SHORTAGES = ("disk", "memory", "connections")
DATABASE_STATUSES = ("creating", "active", "stopped", "deleting", "error", "restoring")
DESIRED_STATES = ("present", "stopped", "absent")
POOL_MODES = ("transaction", "session")
# What its size lets its clients do: write, only read (or clean up), nothing.
STORAGE_STATES = ("open", "read_only", "shut")
LEVELS = ("admin", "developer", "viewer")

type Network = IPv4Network | IPv6Network

# One sequence for all databases: generations keep growing when a deleted name is used again.
GENERATIONS = Sequence("database_generations", metadata=Base.metadata)


class Host(Base):
    """A data-plane machine; `name` is its name in the Ansible inventory.

    One without an `address` is described by an inventory file, as the embedded host is by inventory/local; the others
    are reached by SSH, and only by a key in `host_keys`. `variables` are role variables for it, none of them secret.
    """

    __tablename__ = "hosts"
    __table_args__ = (
        one_of("state", HOST_STATES),
        one_of("short_of", SHORTAGES),
        Index("uq_hosts_live_name", "name", unique=True, postgresql_where=text("removed_at IS NULL")),
        Index("uq_hosts_live_address", "address", "ssh_port", unique=True, postgresql_where=text("removed_at IS NULL")),
    )

    id: Mapped[Id]
    name: Mapped[str]
    public_host: Mapped[str]
    pgbouncer_port: Mapped[int]
    pgbouncer_direct_port: Mapped[int] = mapped_column(default=6433, server_default="6433")
    state: Mapped[str] = mapped_column(default="active", server_default="active")
    capacity: Mapped[int] = mapped_column(default=5000, server_default="5000")
    region: Mapped[str] = mapped_column(default="default", server_default="default")
    address: Mapped[str | None]
    ssh_port: Mapped[int] = mapped_column(default=22, server_default="22")
    host_keys: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    variables: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    tls_root: Mapped[str | None]
    key_refused_at: Mapped[datetime | None]
    # What platform admins were told of its health: services/host_warnings.py.
    unhealthy_since: Mapped[datetime | None]
    unhealthy_told_at: Mapped[datetime | None]
    well_since: Mapped[datetime | None]
    # By its newest report; it gets no new database then: services/shortages.py.
    short_of: Mapped[str | None]
    # How far its journal of changes by hand is in the audit log: services/host_journal.py.
    journal_read_to: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    removed_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    @property
    def is_held(self) -> bool:
        """Whether operations on it wait: it is offline on purpose, or it shows a key that is not pinned."""
        return self.state == "offline" or self.key_refused_at is not None


class Database(Base):
    """One tenant database as it should be (desired state, generation) and as it was last seen (status)."""

    __tablename__ = "databases"
    __table_args__ = (
        one_of("status", DATABASE_STATUSES),
        one_of("desired_state", DESIRED_STATES),
        one_of("pool_mode", POOL_MODES),
        one_of("storage_state", STORAGE_STATES),
        Index("uq_databases_live_name", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_databases_members_changed", "id", postgresql_where=text("members_changed")),
        Index("ix_databases_owner_live", "owner_id", "created_at", postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[Id]
    name: Mapped[str]
    display_name: Mapped[str]
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id"), index=True)
    status: Mapped[str] = mapped_column(default="creating")
    desired_state: Mapped[str] = mapped_column(default="present")
    generation: Mapped[int] = mapped_column(BigInteger, GENERATIONS)
    applied_generation: Mapped[int | None] = mapped_column(BigInteger)
    verifier: Mapped[str | None] = mapped_column()
    password_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    connection_limit: Mapped[int] = mapped_column(default=40)
    # At the pooled and at the direct door; the rest of the limit is for dumps and restores.
    pool_size: Mapped[int] = mapped_column(default=25)
    direct_pool_size: Mapped[int] = mapped_column(default=10, server_default="10")
    pool_mode: Mapped[str] = mapped_column(default="transaction")
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    storage_state: Mapped[str] = mapped_column(default="open", server_default="open")
    storage_mark_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # The share of its storage that its owner was warned of last; 0: none.
    warned_percent: Mapped[int] = mapped_column(default=0, server_default="0")
    # A member's credentials ended while another operation was under way; the next one takes them from the host.
    members_changed: Mapped[bool] = mapped_column(default=False, server_default="false")
    # Where it goes when it is deleted, and comes from when it returns: its name on the host until the final backup.
    held_as: Mapped[str | None]
    delete_protection: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[CreatedAt]
    deleted_at: Mapped[datetime | None]

    host: Mapped[Host] = relationship(lazy="joined", innerjoin=True)
    owner: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    allowlist: Mapped[list["AllowlistEntry"]] = relationship(
        order_by="AllowlistEntry.cidr", cascade="all, delete-orphan", passive_deletes=True
    )
    members: Mapped[list["Member"]] = relationship(
        order_by="Member.created_at", cascade="all, delete-orphan", passive_deletes=True
    )

    def replace_allowlist(self, wanted: Mapping[Network, str]) -> None:
        """Make *wanted* (networks with their labels) the whole list; what stays on it keeps its row."""
        kept = {entry.cidr: entry for entry in self.allowlist}
        self.allowlist = [kept.get(network) or AllowlistEntry(cidr=network) for network in wanted]
        for entry in self.allowlist:
            entry.label = wanted[entry.cidr]


class AllowlistEntry(Base):
    """A network whose clients may connect to a database; without any, all may."""

    __tablename__ = "allowlist_entries"
    __table_args__ = (UniqueConstraint("database_id", "cidr"),)

    # No key of database and network: SQLAlchemy sorts keys, and IPv4 does not compare with IPv6.
    id: Mapped[Id]
    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"))
    cidr: Mapped[IPv4Network | IPv6Network] = mapped_column(CIDR)
    label: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]


class Member(Base):
    """Another user's access to a database; the owner is none of its members."""

    __tablename__ = "members"
    __table_args__ = (one_of("level", LEVELS), UniqueConstraint("database_id", "user_id"))

    id: Mapped[Id]
    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id", ondelete="CASCADE"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    level: Mapped[str]
    created_at: Mapped[CreatedAt]

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    credential: Mapped["MemberCredential | None"] = relationship(
        lazy="joined", cascade="all, delete-orphan", passive_deletes=True
    )


class MemberCredential(Base):
    """A member's own role in the database: what the host is to have. The password stays until it was shown once."""

    __tablename__ = "member_credentials"

    id: Mapped[Id]
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), unique=True)
    role: Mapped[str] = mapped_column(unique=True)
    verifier: Mapped[str]
    password_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
