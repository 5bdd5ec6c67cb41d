"""Hosts that are reached by SSH: address, pinned keys, region, and states of enrolment and removal."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"

STATES = "state IN ('enrolling', 'active', 'draining', 'offline')"
LIVE = sa.text("removed_at IS NULL")


def upgrade() -> None:
    """Hosts that are there stay as they are: without an address, an inventory file describes them."""
    op.add_column("hosts", sa.Column("region", sa.Text(), server_default="default", nullable=False))
    op.add_column("hosts", sa.Column("address", sa.Text(), nullable=True))
    op.add_column("hosts", sa.Column("ssh_port", sa.Integer(), server_default="22", nullable=False))
    op.add_column("hosts", sa.Column("host_keys", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("hosts", sa.Column("variables", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("hosts", sa.Column("tls_root", sa.Text(), nullable=True))
    op.add_column("hosts", sa.Column("key_refused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("hosts", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_hosts_state"), "hosts", type_="check")
    op.create_check_constraint(op.f("ck_hosts_state"), "hosts", STATES)
    op.drop_constraint(op.f("uq_hosts_name"), "hosts", type_="unique")
    op.create_index("uq_hosts_live_name", "hosts", ["name"], unique=True, postgresql_where=LIVE)
    op.create_index("uq_hosts_live_address", "hosts", ["address", "ssh_port"], unique=True, postgresql_where=LIVE)
