"""Deleted users, undoable for a time; and whom an admin looks at DBHost as."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Let users be deleted, and create the table."""
    op.drop_constraint("ck_users_state", "users")
    op.create_check_constraint(op.f("ck_users_state"), "users", "state IN ('active', 'banned', 'deleted')")
    op.create_table(
        "user_deletions",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("purge_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_databases", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_deletions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_deletions")),
    )
    op.create_index(op.f("ix_user_deletions_purge_at"), "user_deletions", ["purge_at"])
    op.add_column("auth_sessions", sa.Column("viewing_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_auth_sessions_viewing_id_users"), "auth_sessions", "users", ["viewing_id"], ["id"], ondelete="SET NULL"
    )
