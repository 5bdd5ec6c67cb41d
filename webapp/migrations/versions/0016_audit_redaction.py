"""Let the actors of audit events older than twelve months be redacted, and nothing else."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

SQL = Path(__file__).parents[1] / "sql" / "audit_redaction.sql"


def upgrade() -> None:
    """Replace the trigger's function; index what is still to be redacted."""
    op.get_bind().connection.cursor().execute(SQL.read_text(encoding="utf-8"))
    op.create_index(
        "ix_audit_events_unredacted",
        "audit_events",
        ["at"],
        postgresql_where=sa.text("actor_type <> 'system' AND actor_label <> 'redacted'"),
    )
