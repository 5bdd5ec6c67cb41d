# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a restore takes its file from: the host's store, a signed address, or what was copied over."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import dump_files, dump_sinks, files
from .errors import TenantError, of_files
from .jobs import Progress

INCOMING = "incoming"
SIZE_LIMIT = 1 << 40
_TRIES = 3
_STEP = "Get the file"


@dataclass(frozen=True)
class Source:
    """One file with a dump in it."""

    kind: str
    folder: str | None = None
    filename: str | None = None
    url: str | None = field(default=None, repr=False)
    path: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    format: str = "auto"
    age_identity: str | None = field(default=None, repr=False)
    database: str | None = None
    allow_incomplete: bool = False

    @property
    def is_foreign(self) -> bool:
        """Whether it may be a dump that was made elsewhere: what was brought, and nobody said of which kind it is."""
        return self.kind != "host" and self.format == "auto"


def parse(item: Mapping[str, Any]) -> Source:
    """The checked form of a restore's `source`. Raises TenantError, which never quotes it."""
    source = Source(**{key: value for key, value in item.items() if value is not None})
    if source.kind == "host":
        dump_files.require_place(source.folder or "", source.filename or "")
    if not {"host": source.folder, "url": source.url, "file": source.path}[source.kind]:
        raise TenantError("invalid_item", "The source lacks what its kind needs: folder and filename, url, or path.")
    return source


@contextlib.contextmanager
def file_of(state_dir: Path, source: Source, progress: Progress) -> Iterator[Path]:
    """The path of the file, its size and digest checked. What was brought for this restore goes at the end."""
    if source.kind == "host":
        path = state_dir / "backups" / str(source.folder) / str(source.filename)
        yield _checked(path, source, progress)
        return
    folder = dump_files.store(state_dir, INCOMING)
    path = Path(str(source.path)) if source.kind == "file" else folder / f"{uuid.uuid4().hex}{dump_files.PARTIAL}"
    try:
        if source.kind == "url":
            _download(path, source, progress)
        yield _checked(path, source, progress)
    finally:
        if path.parent == folder:
            path.unlink(missing_ok=True)


def _checked(path: Path, source: Source, progress: Progress) -> Path:
    try:
        size = path.stat().st_size
        if source.size_bytes is not None and size != source.size_bytes:
            raise _damaged()
        if source.sha256 is not None and _digest(path, progress) != source.sha256.lower():
            raise _damaged()
    except FileNotFoundError:
        raise TenantError("no_such_file", "There is no such file in the host's store.", step=_STEP) from None
    except OSError as error:
        raise of_files(error, _STEP) from None
    return path


def _digest(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(dump_files.CHUNK):
            digest.update(chunk)
            progress.check()
    return digest.hexdigest()


def _download(path: Path, source: Source, progress: Progress) -> None:
    for attempt in range(_TRIES):
        status = _try_download(path, source, progress)
        if status == http.client.OK:
            return
        if 400 <= status < 500:
            break
        dump_sinks.pause(attempt)
    what = f"answered {status}" if status else "could not be reached, or ended early"
    raise TenantError("not_fetched", f"The object store {what}.", retryable=True, step=_STEP)


def _try_download(path: Path, source: Source, progress: Progress) -> int:
    """The status; 0 when there was no answer or it ended early. Errors, which quote the address, are swallowed."""
    opened, target = dump_sinks.connection(str(source.url))
    try:
        opened.request("GET", target)
        answer = opened.getresponse()
        if answer.status == http.client.OK:
            _save(path, answer, source.size_bytes or SIZE_LIMIT, progress)
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        opened.close()


def _save(path: Path, answer: http.client.HTTPResponse, limit: int, progress: Progress) -> None:
    taken = 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        files.give_to_owner_of(path.parent, handle)
        while chunk := answer.read(dump_files.CHUNK):
            taken += len(chunk)
            if taken > limit:
                raise _damaged()
            try:
                file.write(chunk)
            except OSError as error:
                raise of_files(error, _STEP) from None
            progress.check()
    if answer.length:
        raise http.client.IncompleteRead(b"")


def _damaged() -> TenantError:
    return TenantError("damaged_file", "The file is not the one that was made: size or SHA-256 differ.", step=_STEP)
