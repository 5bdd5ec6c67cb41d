"""Uploaded dumps: kept in the spool, restored in place as the tenant. Content says what a file is, not its name."""

import contextlib
import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from webapp.gateways.object_store import UPLOADS, ObjectStoreError, object_store
from webapp.models import Database, Operation
from webapp.services import backups, spool
from webapp.services.actors import Actor
from webapp.services.errors import InvalidFilename, MissingFile

LONGEST_NAME = 255
# So begin those changes of an operation that say what was left out of a dump.
SKIP = "Skip "


@dataclass(frozen=True)
class Upload:
    """A dump that lies in the spool."""

    id: uuid.UUID
    filename: str
    size_bytes: int
    sha256: str
    from_database: str | None = None
    allow_incomplete: bool = False

    @property
    def asked(self) -> dict[str, str]:
        """What the sender says of it, as an operation keeps it."""
        chosen = {"from_database": self.from_database} if self.from_database else {}
        return chosen | ({"allow_incomplete": "yes"} if self.allow_incomplete else {})


def check_filename(filename: str) -> str:
    """The bare name of an uploaded file, which is only shown. Raises InvalidFilename for one that cannot be."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidFilename(f"Send a file whose name has 1 to {LONGEST_NAME} characters that can be printed.")
    return name


def restore_upload(session: Session, actor: Actor, database: Database, upload: Upload) -> Operation:
    """Queue a restore in place from an uploaded dump. Raises MissingFile for an empty one."""
    if not upload.size_bytes:
        raise MissingFile("The uploaded file is empty.")
    source = {"upload_id": str(upload.id), "size_bytes": str(upload.size_bytes), "sha256": upload.sha256}
    details = {"filename": upload.filename, "sizeBytes": upload.size_bytes} | upload.asked
    return backups.queue_restore(session, actor, database, source | upload.asked, upload.filename, details)


def store(upload: Upload) -> None:
    """Put the upload where every worker reaches it: into the object store where there is one."""
    held = object_store()
    if held is not None:
        held.put_file(key(upload.id), spool.upload(upload.id))
        discard(upload.id)


def discard(upload_id: uuid.UUID) -> None:
    """Remove an upload from the spool."""
    spool.upload(upload_id).unlink(missing_ok=True)


def forget(upload_id: uuid.UUID) -> None:
    """Remove an upload wherever it lies, now that it is restored; should that fail, it is swept away later."""
    discard(upload_id)
    held = object_store()
    if held is not None:
        with contextlib.suppress(ObjectStoreError):
            held.delete([key(upload_id)])


def key(upload_id: uuid.UUID | str) -> str:
    """The upload's key in the object store."""
    return f"{UPLOADS}{upload_id}"
