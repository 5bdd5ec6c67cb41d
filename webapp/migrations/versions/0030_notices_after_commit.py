"""Send no NOTIFY within a transaction: a tenant may have filled the cluster's queue of them."""

from pathlib import Path

from alembic import op

revision = "0030"
down_revision = "0029"

SQL = Path(__file__).parents[1] / "sql" / "notices_after_commit.sql"


def upgrade() -> None:
    """Let the triggers note what is to be told; who commits tells it."""
    op.get_bind().connection.cursor().execute(SQL.read_text(encoding="utf-8"))
