# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that other processes read while they change: written whole, kept by the owner of their folder, under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import TenantError

MODE = 0o640
_LOCK_WAIT_S = 240.0


def is_as_wanted(path: Path, text: str) -> bool:
    """True if *path* holds exactly *text*, with the mode and the owner that *write* gives it."""
    try:
        found = path.lstat()
        owner = path.parent.stat()
        held = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return False
    as_wanted = (stat.S_IFREG | MODE, owner.st_uid, owner.st_gid)
    return (found.st_mode, found.st_uid, found.st_gid) == as_wanted and held == text


def write(path: Path, text: str) -> None:
    """Replace *path* by *text* so that a reader, or a power cut, finds the old or the new one.

    The owner is that of the folder, so that a run as root leaves nothing that the agent's user cannot replace.
    The time stamp is a whole second past the old one: PgBouncer re-reads a userlist only if its seconds differ.
    """
    newest = int(path.stat().st_mtime) + 1 if path.exists() else 0
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(handle, MODE)
            give_to_owner_of(path.parent, handle)
            seconds = max(int(time.time()), newest)
            os.utime(handle, (seconds, seconds))
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def give_to_owner_of(folder: Path, target: int | Path) -> None:
    """Make *target* belong to whom *folder* belongs to; only root needs to, and can."""
    owner = folder.stat()
    if os.geteuid() == 0:
        os.chown(target, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the host's lock. It belongs to this process: a killed run lets go of it."""
    path = folder / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        give_to_owner_of(folder, handle)
        _acquire(handle)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TenantError("host_busy", "Another run holds this host's lock.", retryable=True) from None
            time.sleep(0.02)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
