# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's store of dumps: one folder a database, a file that is there is whole, and beside it what is in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import files
from .errors import TenantError

_FILENAME = re.compile(r"\d{8}_\d{6}\.sql\.gz")
_FOLDER_MODE = 0o700
PARTIAL = ".partial"
LOCK = ".lock"
CHUNK = 1 << 20


def require_place(folder: str, filename: str) -> None:
    """Raise TenantError unless both are of the form that backups have: neither can lead out of the store."""
    try:
        plain = str(uuid.UUID(folder)) == folder
    except ValueError:
        plain = False
    if not plain or _FILENAME.fullmatch(filename) is None:
        raise TenantError("invalid_place", "A backup's folder is a UUID and its name is like 20261124_020000.sql.gz.")


def store(state_dir: Path, *names: str) -> Path:
    """A folder below the host's state, made if need be; it belongs to whom the state belongs to."""
    folder = state_dir
    for name in names:
        folder = folder / name
        if not folder.is_dir():
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            files.give_to_owner_of(folder.parent, folder)
    return folder


@contextlib.contextmanager
def alone(folder: Path, *, leave_nothing: bool = False) -> Iterator[None]:
    """One dump or restore of a database at a time; a killed one lets go. Raises TenantError while another is at it.

    With *leave_nothing* the folder goes at the end, when nothing but the lock is in it.
    """
    handle = _lock(folder)
    try:
        yield
    finally:
        if leave_nothing:
            _remove_empty(folder)
        os.close(handle)


def _lock(folder: Path) -> int:
    """The lock file of *folder*, held; one that was removed by whoever held it before is made anew."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.MODE)
            try:
                files.give_to_owner_of(folder, handle)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), (folder / LOCK).stat()):
                    return handle
            except BlockingIOError:
                os.close(handle)
                message = "Another run still works on a dump of this database."
                raise TenantError("dump_under_way", message, retryable=True) from None
            except FileNotFoundError:
                pass
            os.close(handle)
        # It goes again with its last holder, also between two looks of mkdir, which then says that it exists.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            store(folder.parent, folder.name)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a dump may have begun in it meanwhile, or another has removed it
        if {entry.name for entry in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def remove_partials(folder: Path) -> None:
    """Take away what killed runs left; the caller is alone in *folder*."""
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def described(folder: Path, filename: str) -> dict[str, Any] | None:
    """What was written down about a whole file, or None if there is none of that name."""
    try:
        found = json.loads((folder / f"{filename}.json").read_text(encoding="utf-8"))
        whole = (folder / filename).stat().st_size == found["size_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(found) if whole else None


def describe(folder: Path, filename: str, about: dict[str, Any]) -> None:
    """Write down what is in the file that is about to get its name."""
    files.write(folder / f"{filename}.json", json.dumps(about, indent=1) + "\n")


def publish(partial: Path, path: Path) -> None:
    """Give a written and synced file its name, so that it is there after a power cut too."""
    partial.replace(path)
    files.sync_folder(path.parent)


def remove(folder: Path, filename: str, *, check: bool = False) -> bool:
    """Delete one file and its description, and a folder that is then empty; false if there was nothing to delete."""
    present = [path for path in (folder / filename, folder / f"{filename}.json") if path.exists()]
    if present and not check:
        for path in present:
            path.unlink()
        _remove_empty(folder)
    return bool(present)


def require_file(folder: Path, filename: str) -> str:
    """The path of a file that is to be there; raises TenantError if it is not."""
    path = folder / filename
    if not path.is_file():
        raise TenantError("no_such_file", "There is no such file in the host's store.")
    return str(path)
