"""Keep members' own roles, and which databases have to be told that one ended."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Create the table, and the mark on databases."""
    op.create_table(
        "member_credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("password_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["members.id"], name=op.f("fk_member_credentials_member_id_members"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member_credentials")),
        sa.UniqueConstraint("member_id", name=op.f("uq_member_credentials_member_id")),
        sa.UniqueConstraint("role", name=op.f("uq_member_credentials_role")),
    )
    op.add_column("databases", sa.Column("members_changed", sa.Boolean(), server_default="false", nullable=False))
    op.create_index("ix_databases_members_changed", "databases", ["id"], postgresql_where=sa.text("members_changed"))
