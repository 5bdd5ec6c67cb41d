"""Keep what a host is short of beside it: it gets no new database then."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """As services/shortages.py names it."""
    op.add_column("hosts", sa.Column("short_of", sa.Text()))
    op.create_check_constraint(op.f("ck_hosts_short_of"), "hosts", "short_of IN ('disk', 'memory', 'connections')")
