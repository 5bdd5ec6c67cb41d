"""Uploaded dumps: checked by name and size, kept in the spool, restored in place as the tenant."""

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from webapp.gateways.object_store import UPLOADS, object_store
from webapp.models import Database, Operation
from webapp.services import backups, spool
from webapp.services.actors import Actor
from webapp.services.errors import InvalidFilename, MissingFile

ENDINGS = (".sql.gz", ".sql", ".dump", ".backup")
LONGEST_NAME = 255


@dataclass(frozen=True)
class Upload:
    """A dump that lies in the spool."""

    id: uuid.UUID
    filename: str
    size_bytes: int
    sha256: str


def check_filename(filename: str) -> str:
    """The bare name of an uploaded file. Raises InvalidFilename unless it ends as a dump does."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    if not name.lower().endswith(ENDINGS) or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidFilename(f"Send a file whose name ends in {', '.join(ENDINGS)}.")
    return name


def restore_upload(session: Session, actor: Actor, database: Database, upload: Upload) -> Operation:
    """Queue a restore in place from an uploaded dump. Raises MissingFile for an empty one."""
    if not upload.size_bytes:
        raise MissingFile("The uploaded file is empty.")
    source = {"upload_id": str(upload.id), "size_bytes": str(upload.size_bytes), "sha256": upload.sha256}
    details = {"filename": upload.filename, "sizeBytes": upload.size_bytes}
    return backups.queue_restore(session, actor, database, source, upload.filename, details)


def store(upload: Upload) -> None:
    """Put the upload where every worker reaches it: into the object store where there is one."""
    held = object_store()
    if held is not None:
        held.put_file(key(upload.id), spool.upload(upload.id))
        discard(upload.id)


def discard(upload_id: uuid.UUID) -> None:
    """Remove an upload from the spool."""
    spool.upload(upload_id).unlink(missing_ok=True)


def key(upload_id: uuid.UUID | str) -> str:
    """The upload's key in the object store."""
    return f"{UPLOADS}{upload_id}"
