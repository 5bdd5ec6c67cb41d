"""Remember of what people were warned: a database's storage, a host that is not well."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("databases", sa.Column("warned_percent", sa.Integer(), server_default="0", nullable=False))
    for name in ("unhealthy_since", "unhealthy_told_at", "well_since"):
        op.add_column("hosts", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
