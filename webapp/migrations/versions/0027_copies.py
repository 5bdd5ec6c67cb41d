"""Know the copies that moves leave behind."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "copies",
        sa.Column("database_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["database_id"], ["databases.id"], name=op.f("fk_copies_database_id_databases"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_copies_host_id_hosts")),
        sa.PrimaryKeyConstraint("database_id", "host_id", name=op.f("pk_copies")),
    )
    op.create_index(op.f("ix_copies_host_id"), "copies", ["host_id"])
