"""Remember how far each host's journal is in the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the column."""
    op.add_column("hosts", sa.Column("journal_read_to", sa.BigInteger(), server_default="0", nullable=False))
