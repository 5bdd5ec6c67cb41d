"""Queue mails whose text lets somebody in, encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Say which texts are encrypted; those that wait are not."""
    op.add_column("queued_mails", sa.Column("sealed", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    """Forget it; what waits encrypted cannot be sent any more."""
    op.execute("DELETE FROM queued_mails WHERE sealed")
    op.drop_column("queued_mails", "sealed")
