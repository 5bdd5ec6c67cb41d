"""Backups and what belongs to them, as the API shows them."""

from datetime import UTC, datetime
from typing import cast

from webapp.api import backup_schemas
from webapp.models import Backup, BackupSchedule
from webapp.services.deletions import Deleted
from webapp.services.sizes import pretty


def backup(row: Backup) -> backup_schemas.BackupOut:
    return backup_schemas.BackupOut(
        filename=row.filename,
        size_bytes=row.size_bytes or 0,
        size_pretty=pretty(row.size_bytes or 0),
        created_at=row.created_at.astimezone(UTC),
        kind=cast(backup_schemas.Kind, row.kind),
        sha256=row.sha256 or "",
        expires_at=row.expires_at.astimezone(UTC),
        encrypted=row.encrypted,
        proven_at=_utc(row.proven_at),
    )


def schedule(row: BackupSchedule, proven: Backup | None) -> backup_schemas.ScheduleOut:
    return backup_schemas.ScheduleOut(
        enabled=row.enabled,
        hour_utc=row.hour_utc,
        every_hours=row.every_hours,
        retention_days=row.retention_days,
        next_run_at=_utc(row.next_run_at) if row.enabled else None,
        last_proven_at=_utc(proven.proven_at) if proven else None,
        last_proven=proven.filename if proven else None,
    )


def deleted(found: Deleted) -> backup_schemas.DeletedDatabase:
    database = found.database
    return backup_schemas.DeletedDatabase(
        id=database.id,
        name=database.name,
        display_name=database.display_name,
        deleted_at=cast(datetime, _utc(database.deleted_at)),
        expires_at=found.final.expires_at.astimezone(UTC),
        backup=found.final.filename,
        final_backup="made" if found.held is None else "failed" if found.held.error else "pending",
        problem=found.held.error if found.held else None,
        name_taken=found.name_taken,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
