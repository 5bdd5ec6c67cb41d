"""Events of the user-sync webhook, and the newest word on each of the provider's users."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "user_sync_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_sync_events")),
    )
    op.create_index(op.f("ix_user_sync_events_received_at"), "user_sync_events", ["received_at"])
    op.create_table(
        "synced_users",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_synced_users_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_synced_users")),
    )
    op.create_index(op.f("ix_synced_users_user_id"), "synced_users", ["user_id"])
