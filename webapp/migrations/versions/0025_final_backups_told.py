"""Keep when people were told that a final backup fails."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Add the time."""
    op.add_column("final_backups", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
