"""Keep what a database's size lets its clients do."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add both columns; every database is open until its size is next looked at."""
    op.add_column("databases", sa.Column("storage_state", sa.Text(), server_default="open", nullable=False))
    op.add_column("databases", sa.Column("storage_mark_bytes", sa.BigInteger(), nullable=True))
    op.create_check_constraint(
        op.f("ck_databases_storage_state"), "databases", "storage_state IN ('open', 'read_only', 'shut')"
    )
