"""Operations (what was asked) and runs (how a worker carried a batch of them out on a host)."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, ForeignKey, Index, Sequence, and_, func, or_, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import Base, CreatedAt, Id, one_of
from webapp.models.databases import Database, Host

OPERATION_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
# `converge`: batched with its host's others into one run of databases.yml. `long`: carried alone, beside it.
LANES = ("converge", "long")
RUN_STATES = ("running", "succeeded", "failed", "cancelled", "abandoned")
STEP_STATES = ("running", "ok", "changed", "skipped", "failed", "unreachable")
KINDS = (
    "database.create",
    "database.delete",
    "database.reset_password",
    "database.repair_ownership",
    "database.start",
    "database.stop",
    "database.restart",
    "database.allowlist",
    "database.undelete",
    "database.clone",
    "database.move",
    "database.drop_copy",
    "backup.create",
    "backup.restore",
    "backup.delete",
    "backup.fetch",
    "backup.drill",
    "database.repair",
    "database.storage_limit",
    "database.clean_up",
    "database.members",
)

OPEN = "state IN ('queued', 'running')"

# A run's fence: results are written only where the row still carries it.
FENCES = Sequence("run_fences", metadata=Base.metadata)


class Run(Base):
    """One try of a worker's on one host: a batch of the lane `converge`, or one long operation with its playbooks."""

    __tablename__ = "runs"
    __table_args__ = (
        one_of("state", RUN_STATES),
        one_of("lane", LANES),
        Index("ix_runs_host_started", "host_id", text("started_at DESC")),
        Index("ix_runs_running", "host_id", postgresql_where=text("state = 'running'")),
    )

    id: Mapped[Id]
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id"))
    fence: Mapped[int] = mapped_column(BigInteger, FENCES, unique=True)
    worker: Mapped[str]
    playbook: Mapped[str]
    state: Mapped[str] = mapped_column(default="running")
    step: Mapped[int] = mapped_column(default=0)
    steps_total: Mapped[int] = mapped_column(default=0)
    step_name: Mapped[str | None]
    lane: Mapped[str] = mapped_column(default="converge", server_default="converge")
    bytes_done: Mapped[int | None] = mapped_column(BigInteger)
    bytes_total: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]

    steps: Mapped[list["RunStep"]] = relationship(order_by="RunStep.number", lazy="select")


class RunStep(Base):
    """One Ansible task that ended (or is under way) on the host of a run; never holds a module's output."""

    __tablename__ = "run_steps"
    __table_args__ = (one_of("state", STEP_STATES),)

    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    state: Mapped[str]
    started_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]


class Operation(Base):
    """One queued change to one database: the truth about it. The queue's job is only a doorbell."""

    __tablename__ = "operations"
    __table_args__ = (
        one_of("state", OPERATION_STATES),
        one_of("lane", LANES),
        # A pattern, not a list: a new kind needs no migration; tests/rules keeps KINDS to it.
        CheckConstraint("kind ~ '^[a-z]+[.][a-z_]+$'", name="kind"),
        Index(
            "uq_operations_open_database",
            "database_id",
            "lane",
            unique=True,
            postgresql_where=text(OPEN),
        ),
        Index("ix_operations_due", "host_id", "next_attempt_at", postgresql_where=text(OPEN)),
        Index("ix_operations_created", text("created_at DESC")),
    )

    id: Mapped[Id]
    kind: Mapped[str]
    lane: Mapped[str] = mapped_column(default="converge", server_default="converge")
    state: Mapped[str] = mapped_column(default="queued", server_default="queued")
    database_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("databases.id"), index=True)
    host_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hosts.id"))
    generation: Mapped[int] = mapped_column(BigInteger)
    params: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    actor_type: Mapped[str]
    actor_user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    actor_api_key_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    request_id: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    fence: Mapped[int | None] = mapped_column(BigInteger)
    run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("runs.id"))
    cancel_requested_at: Mapped[datetime | None]
    changes: Mapped[list[str] | None] = mapped_column(JSONB)
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    error_step: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    database: Mapped[Database] = relationship(lazy="joined", innerjoin=True)
    host: Mapped[Host] = relationship(lazy="joined", innerjoin=True)
    run: Mapped[Run | None] = relationship(lazy="joined")

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running")


def is_due() -> ColumnElement[bool]:
    """Queued and its time has come, or under way, or left behind as if it were."""
    queued = and_(Operation.state == "queued", Operation.next_attempt_at <= func.now())
    return or_(Operation.state == "running", queued)
