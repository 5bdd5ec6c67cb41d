"""Check hosts on a schedule, and keep what differs from the desired state."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the two tables."""
    now = sa.text("now()")
    op.create_table(
        "host_checks",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("next_check_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name="fk_host_checks_host_id_hosts", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", name="pk_host_checks"),
    )
    op.create_table(
        "differences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("database_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sentences", postgresql.JSONB(), nullable=False),
        sa.Column("repairable", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("ignored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ignored_by", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('database', 'files', 'stranger')", name=op.f("ck_differences_kind")),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name="fk_differences_host_id_hosts", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["database_id"], ["databases.id"], name="fk_differences_database_id_databases", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_differences"),
        sa.UniqueConstraint("host_id", "kind", "subject", name="uq_differences_host_id_kind_subject"),
    )
    op.create_index("ix_differences_database_id", "differences", ["database_id"])
