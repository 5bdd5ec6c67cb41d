"""Give every database a direct door: its port on each host, and each database's share of sessions there."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Add the columns."""
    port = sa.Column("pgbouncer_direct_port", sa.Integer(), server_default="6433", nullable=False)
    op.add_column("hosts", port)
    share = sa.Column("direct_pool_size", sa.Integer(), server_default="10", nullable=False)
    op.add_column("databases", share)
