"""Let long operations be carried alone, beside the converge of their host; show progress in bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

LANE = "lane IN ('converge', 'long')"
OPEN = "state IN ('queued', 'running')"


def upgrade() -> None:
    """Everything that is there is of the lane `converge`."""
    for table in ("operations", "runs"):
        op.add_column(table, sa.Column("lane", sa.Text(), server_default="converge", nullable=False))
        op.create_check_constraint(op.f(f"ck_{table}_lane"), table, LANE)
    op.add_column("runs", sa.Column("bytes_done", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("bytes_total", sa.BigInteger(), nullable=True))
    op.drop_index("uq_operations_open_database", "operations")
    op.create_index(
        "uq_operations_open_database",
        "operations",
        ["database_id", "lane"],
        unique=True,
        postgresql_where=sa.text(OPEN),
    )
    op.drop_constraint(op.f("ck_operations_kind"), "operations", type_="check")
    op.create_check_constraint(op.f("ck_operations_kind"), "operations", "kind ~ '^[a-z]+[.][a-z_]+$'")
