"""Large uploads: written to the spool as they arrive, never held in memory; what nobody claims is removed."""

import hashlib
import io
import uuid
from typing import Any, cast

from flask import Flask, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.http import resources
from webapp.services import imports, spool
from webapp.services.errors import MissingFile, ValidationFailed

# Routes that take a file; all others have the small limit of DBHOST_MAX_BODY_BYTES.
ENDPOINTS = frozenset({"backups_api.restore_upload", "backups.restore_upload"})
ENVELOPE_BYTES = 64 * 1024
FIELD = "file"
LONGEST_DATABASE_NAME = 63


class SpoolFile(io.FileIO):
    """A file of the spool that counts and hashes what is written, up to the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.id = uuid.uuid4()
        self.size_bytes = 0
        self.kept = False
        self._limit_bytes = limit_bytes
        self._digest = hashlib.sha256()
        spool.ensure()
        super().__init__(spool.upload(self.id), "xb+")

    def write(self, data: Any) -> int:
        """Write all of *data*. Raises RequestEntityTooLarge."""
        self.size_bytes += len(data)
        if self.size_bytes > self._limit_bytes:
            raise RequestEntityTooLarge
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[super().write(view) :]
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def init_app(app: Flask) -> None:
    """Give the routes that take files their own limit, before anything reads a body."""
    app.before_request(_widen)
    app.teardown_request(_remove_unclaimed)


def is_upload() -> bool:
    """Whether this request's route takes a file; nobody but it may read the body."""
    return request.endpoint in ENDPOINTS


def open_file() -> io.FileIO:
    """Where a file of this request is written as it arrives."""
    file = SpoolFile(resources().settings.max_upload_bytes)
    g.setdefault("spooled", []).append(file)
    return file


def received() -> imports.Upload:
    """Read the request's file into the spool, up to its end. Raises MissingFile, InvalidFilename or what limits say."""
    sent = request.files.get(FIELD)
    if sent is None or not sent.filename:
        raise MissingFile(f"Send the dump as the field `{FIELD}` of a multipart/form-data request.")
    filename = imports.check_filename(sent.filename)
    file = cast(SpoolFile, sent.stream)
    file.flush()
    chosen = request.form.get("database", "").strip()
    if len(chosen) > LONGEST_DATABASE_NAME or not chosen.isprintable():
        raise ValidationFailed("Name the database of the file that is to be imported, or leave it out.")
    incomplete = request.form.get("allowIncomplete", "").lower() in ("true", "1", "on")
    return imports.Upload(file.id, filename, file.size_bytes, file.sha256, chosen or None, incomplete)


def keep(upload: imports.Upload) -> None:
    """The upload has become an operation's: it stays when the request ends."""
    for file in g.get("spooled", ()):
        file.kept = file.kept or file.id == upload.id


def _widen() -> None:
    if is_upload():
        request.max_content_length = resources().settings.max_upload_bytes + ENVELOPE_BYTES


def _remove_unclaimed(_error: BaseException | None) -> None:
    for file in g.pop("spooled", ()):
        file.close()
        if not file.kept:
            imports.discard(file.id)
