"""Restore a dump on a host: where it comes from, how it is asked for, what the host says of it."""

import hashlib
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from webapp.gateways.object_store import ObjectStoreError
from webapp.models import Backup, Database, Host
from webapp.services import backups, imports, spool
from webapp.worker.long import dumps
from webapp.worker.long.job import LongJob, Refused, report_of
from webapp.worker.report import AGENT_ERROR, Failure, ItemError

REPORT = "Report the restore"
FILES = "Report the files"
BLOCK = 1024 * 1024
DAMAGED = Failure(AGENT_ERROR, "The file is not what the backup's checksum says: it was damaged.", retryable=False)


class Restored(BaseModel):
    """What the host says of a restore."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    matches: bool | None = None
    differences: list[str] = []
    changes: list[str] = []
    error: ItemError | None = None


class Files(BaseModel):
    """What the host says of its backup files."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    error: ItemError | None = None


def restore(
    job: LongJob,
    database: Database,
    host: Host,
    into: str,
    source: dict[str, Any],
    expect: dict[str, Any] | None,
    *,
    expected: bool = False,
    keep_replaced: bool = False,
) -> Restored:
    """Restore *source*; *into* is `replace`, `new` or `scratch`. Raises Refused with the host's own words.

    *keep_replaced*: the host keeps what was there before aside for some days.
    """
    asked = {
        "name": database.name,
        "into": into,
        "source": source,
        "expect": expect,
        "generation": database.generation,
        "connection_limit": database.connection_limit,
        "keep_replaced": keep_replaced,
    }
    outcome = job.play("restore.yml", host.name, {"tenant_restore": asked}, expected=expected)
    restored = report_of(outcome, REPORT, "restore", Restored)
    if restored.error is not None:
        raise Refused(restored.error.failure)
    return restored


def of_backup(job: LongJob, backup: Backup, host: Host) -> dict[str, Any]:
    """Where *host* gets a backup from: its own store, a signed address, or through here from another host."""
    known = {"size_bytes": backup.size_bytes, "sha256": backup.sha256, "format": "plain_gzip"} | _identity(job, backup)
    if backup.store == "s3":
        try:
            return known | {"kind": "url", "url": dumps.held_store().download_url(backups.object_key(backup))}
        except ObjectStoreError as error:
            raise dumps.store_failure(error) from None
    if backup.host_id == host.id:
        return known | {"kind": "host", "folder": str(backup.database_id), "filename": backup.filename}
    return known | {"kind": "file", "path": str(fetch(job, backup))}


def of_upload(job: LongJob, params: dict[str, Any]) -> dict[str, Any]:
    """Where the host gets an uploaded dump from."""
    known = {"size_bytes": int(params["size_bytes"]), "sha256": params["sha256"], "format": "auto"}
    known |= {"database": params.get("from_database"), "allow_incomplete": "allow_incomplete" in params}
    if job.settings.s3_bucket:
        try:
            return known | {"kind": "url", "url": dumps.held_store().download_url(imports.key(params["upload_id"]))}
        except ObjectStoreError as error:
            raise dumps.store_failure(error) from None
    path = spool.upload(params["upload_id"])
    if path.is_symlink() or not path.is_file():  # the web process writes there, and reads less than the worker
        gone = "The uploaded file is not there any more. Upload it again."
        raise Refused(Failure(AGENT_ERROR, gone, retryable=False))
    return known | {"kind": "file", "path": str(path)}


def fetch(job: LongJob, backup: Backup) -> Path:
    """A copy of a backup from its host's store, in the spool and checked; what is there already is taken."""
    target = spool.copy(backup.id)
    if target.exists():
        os.utime(target)
        return target
    spool.ensure()
    part = target.with_name(target.name + spool.PART)
    part.unlink(missing_ok=True)
    wanted = {"folder": str(backup.database_id), "filename": backup.filename, "to": str(part)}
    outcome = job.play("backup_files.yml", backup.host.name, {"tenant_backup_files": {"absent": [], "fetch": wanted}})
    told = report_of(outcome, FILES, "files", Files)
    if told.error is not None:
        raise Refused(told.error.failure)
    if sha256_of(part) != backup.sha256:
        part.unlink(missing_ok=True)
        raise Refused(DAMAGED)
    part.chmod(0o640)
    part.replace(target)
    return target


def remove(job: LongJob, backup: Backup) -> None:
    """Remove a backup's file, wherever it is; one that is not there is as good."""
    spool.copy(backup.id).unlink(missing_ok=True)
    if backup.store == "s3":
        try:
            store = dumps.held_store()
            if backup.upload_id is not None:
                store.abort_upload(backups.object_key(backup), backup.upload_id)
            store.delete([backups.object_key(backup)])
        except ObjectStoreError as error:
            raise dumps.store_failure(error) from None
        return
    absent = [{"folder": str(backup.database_id), "filename": backup.filename}]
    outcome = job.play("backup_files.yml", backup.host.name, {"tenant_backup_files": {"absent": absent, "fetch": None}})
    told = report_of(outcome, FILES, "files", Files)
    if told.error is not None:
        raise Refused(told.error.failure)


def sha256_of(path: Path) -> str:
    """A file's checksum, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _identity(job: LongJob, backup: Backup) -> dict[str, str]:
    identity = job.settings.backup_age_identity
    if not backup.encrypted:
        return {}
    if identity is None:
        told = "The backup is encrypted, and the key to open it (DBHOST_BACKUP_AGE_IDENTITY) is not configured."
        raise Refused(Failure(AGENT_ERROR, told, retryable=False))
    return {"age_identity": identity.get_secret_value()}
