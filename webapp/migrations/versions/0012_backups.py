"""Keep backups, their schedules, and a switch that protects a database from being deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the tables; databases that are there get their schedule from the worker."""
    op.add_column("databases", sa.Column("delete_protection", sa.Boolean(), server_default="false", nullable=False))
    create_backups()
    create_schedules()


def create_backups() -> None:
    op.create_table(
        "backups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("database_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="creating", nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("upload_id", sa.Text(), nullable=True),
        sa.Column("encrypted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("manifest", postgresql.JSONB(), nullable=True),
        sa.Column("server_version", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("drill_error", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('manual', 'scheduled', 'final', 'safety')", name=op.f("ck_backups_kind")),
        sa.CheckConstraint("state IN ('creating', 'available', 'failed', 'deleting')", name=op.f("ck_backups_state")),
        sa.CheckConstraint("store IN ('host', 's3')", name=op.f("ck_backups_store")),
        sa.ForeignKeyConstraint(["database_id"], ["databases.id"], name=op.f("fk_backups_database_id_databases")),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_backups_host_id_hosts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
        sa.UniqueConstraint("database_id", "filename", name=op.f("uq_backups_database_id_filename")),
    )
    op.create_index(
        "ix_backups_expires",
        "backups",
        ["expires_at"],
        postgresql_where=sa.text("state IN ('available', 'failed')"),
    )
    op.create_index("ix_backups_deleting", "backups", ["host_id"], postgresql_where=sa.text("state = 'deleting'"))


def create_schedules() -> None:
    op.create_table(
        "backup_schedules",
        sa.Column("database_id", sa.Uuid(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("hour_utc", sa.Integer(), server_default="2", nullable=False),
        sa.Column("every_hours", sa.Integer(), server_default="24", nullable=False),
        sa.Column("retention_days", sa.Integer(), server_default="30", nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_drill_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["database_id"],
            ["databases.id"],
            name=op.f("fk_backup_schedules_database_id_databases"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("database_id", name=op.f("pk_backup_schedules")),
    )
    op.create_index("ix_backup_schedules_due", "backup_schedules", ["next_run_at"], postgresql_where=sa.text("enabled"))
