"""Dump a database on its host into a backup's file, there or in the object store, and keep what is known of it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways.object_store import ObjectStoreError, object_store
from webapp.models import Backup, Operation
from webapp.services import backups
from webapp.worker.long.job import LongJob, Refused, Stopped, report_of
from webapp.worker.report import AGENT_ERROR, Failure, ItemError

if TYPE_CHECKING:
    from webapp.gateways.s3 import ObjectStore

REPORT = "Report the backup"
# A transaction that counts only while whoever asks may still write.
type Fenced = Callable[[], AbstractContextManager[Session]]


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int
    etag: str


class Dumped(BaseModel):
    """What the host says of a dump that it has made."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    size_bytes: int | None = None
    sha256: str | None = None
    encrypted: bool = False
    parts: list[Part] = []
    manifest: dict[str, Any] | None = None
    server_version: str | None = None
    error: ItemError | None = None


@contextmanager
def fenced(job: LongJob) -> Iterator[Session]:
    """A transaction that counts only while this try still carries its operation; committed at the block's end."""
    with job.sessions() as session:
        mine = select(Operation.id).where(
            Operation.id == job.operation.id, Operation.state == "running", Operation.fence == job.fence
        )
        if session.scalar(mine.with_for_update(of=Operation)) is None:
            raise Stopped("taken over")
        yield session
        session.commit()


def load_backup(job: LongJob, backup_id: str) -> Backup:
    """A backup as it is now. Raises Refused when it is gone."""
    with job.sessions() as session:
        backup = session.get(Backup, uuid.UUID(backup_id))
        if backup is None or backup.state == "deleting":
            raise Refused(Failure(AGENT_ERROR, "The backup is not there any more.", retryable=False))
        return backup


def make(job: LongJob, backup_id: str, *, expected: bool = False) -> Backup:
    """The backup with this id, whole: made now, unless an earlier try of the operation has made it already."""
    backup = load_backup(job, backup_id)
    if backup.state != "available":
        dumped = dump(job, backup, expected=expected)
        with fenced(job) as session:
            keep(session, backup.id, dumped)
        backup = load_backup(job, backup_id)
    return backup


def dump(job: LongJob, backup: Backup, *, expected: bool = False) -> Dumped:
    """Make the dump. Raises Refused with the host's own words when there is none."""
    variables = asked(backup, backup.database.name, lambda: fenced(job))
    outcome = job.play("backup.yml", backup.host.name, {"tenant_backup": variables}, expected=expected)
    dumped = report_of(outcome, REPORT, "backup", Dumped)
    if dumped.error is not None:
        raise Refused(dumped.error.failure)
    if dumped.sha256 is None or dumped.size_bytes is None or not outcome.ok:
        raise Refused(Failure(AGENT_ERROR, "The dump ended without a checksum.", retryable=True))
    job.check_stop()
    complete(backup, dumped)
    return dumped


def keep(session: Session, backup_id: uuid.UUID, dumped: Dumped) -> None:
    """The backup is whole: from now on it is listed."""
    backup = session.get_one(Backup, backup_id, with_for_update={"of": Backup})
    backup.state, backup.error, backup.upload_id = "available", None, None
    backup.size_bytes, backup.sha256, backup.encrypted = dumped.size_bytes, dumped.sha256, dumped.encrypted
    backup.manifest, backup.server_version = dumped.manifest, dumped.server_version


def held_store() -> "ObjectStore":
    """The object store. Raises Refused where its settings are gone."""
    store = object_store()
    if store is None:
        raise Refused(Failure(AGENT_ERROR, "The object store of this backup is not configured.", retryable=True))
    return store


def store_failure(error: ObjectStoreError) -> Refused:
    """What the object store says, as the operation's error: it is tried again."""
    return Refused(Failure(AGENT_ERROR, str(error), retryable=True, step="Object store"))


def asked(backup: Backup, name: str, fenced: Fenced) -> dict[str, Any]:
    """What the playbook is told of one backup, made of the database that its host calls *name*. Raises Refused."""
    wanted: dict[str, Any] = {
        "name": name,
        "folder": str(backup.database_id),
        "filename": backup.filename,
        "store": "host",
        "age_recipients": settings().backup_age_recipients.split(),
    }
    return wanted | (_upload(backup, fenced) if backup.store == "s3" else {})


def complete(backup: Backup, dumped: Dumped) -> None:
    """Make one object of the parts that were uploaded. Raises Refused."""
    if backup.store != "s3":
        return
    parts = [(part.number, part.etag) for part in dumped.parts]
    try:
        store = held_store()
        store.complete_upload(backups.object_key(backup), backup.upload_id or "", parts, dumped.size_bytes or 0)
    except ObjectStoreError as error:
        raise store_failure(error) from None


def _upload(backup: Backup, fenced: Fenced) -> dict[str, Any]:
    """Addresses for the parts. What an earlier try had begun is given up: its parts would be paid for."""
    store = held_store()
    try:
        if backup.upload_id is not None:
            store.abort_upload(backups.object_key(backup), backup.upload_id)
        upload = store.begin_upload(backups.object_key(backup), backup.database.size_bytes)
    except ObjectStoreError as error:
        raise store_failure(error) from None
    with fenced() as session:
        session.get_one(Backup, backup.id).upload_id = upload.upload_id
    backup.upload_id = upload.upload_id
    return {"store": "upload", "upload": {"part_size": upload.part_bytes, "part_urls": upload.part_urls}}
