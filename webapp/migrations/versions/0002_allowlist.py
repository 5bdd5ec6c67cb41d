"""Networks that may connect to a database, and the operation that changes them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

KINDS = (
    "kind IN ('database.create', 'database.delete', 'database.reset_password', 'database.repair_ownership', "
    "'database.start', 'database.stop', 'database.restart', 'database.allowlist')"
)


def upgrade() -> None:
    """Create the table and let operations be of the new kind."""
    op.create_table(
        "allowlist_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("database_id", sa.Uuid(), nullable=False),
        sa.Column("cidr", postgresql.CIDR(), nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["database_id"],
            ["databases.id"],
            name=op.f("fk_allowlist_entries_database_id_databases"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allowlist_entries")),
        sa.UniqueConstraint("database_id", "cidr", name=op.f("uq_allowlist_entries_database_id_cidr")),
    )
    op.drop_constraint(op.f("ck_operations_kind"), "operations", type_="check")
    op.create_check_constraint(op.f("ck_operations_kind"), "operations", KINDS)
