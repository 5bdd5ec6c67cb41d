"""Keep which deleted databases are still to be dumped, and what they are called meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Create the table, and the name on databases."""
    op.add_column("databases", sa.Column("held_as", sa.Text(), nullable=True))
    op.create_table(
        "final_backups",
        sa.Column("database_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("backup_id", sa.Uuid(), nullable=True),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["database_id"], ["databases.id"], name=op.f("fk_final_backups_database_id_databases"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_final_backups_host_id_hosts")),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name=op.f("fk_final_backups_backup_id_backups")),
        sa.PrimaryKeyConstraint("database_id", name=op.f("pk_final_backups")),
        sa.UniqueConstraint("name", name=op.f("uq_final_backups_name")),
    )
    op.create_index(op.f("ix_final_backups_backup_id"), "final_backups", ["backup_id"])
    op.create_index("ix_final_backups_due", "final_backups", ["next_attempt_at"])
