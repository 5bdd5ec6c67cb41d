"""A worker's private folder for its runs, on memory where possible; a lock in it says that the worker lives."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # only below a folder that is checked to be ours and 0700
LOCK = "lock"


def in_memory(home: Path) -> Path:
    """Where the workers of *home* have their folders when they are on tmpfs."""
    return SHARED_MEMORY / f"dbhost-{hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:12]}"


def on_disk(home: Path) -> Path:
    """Where they are otherwise."""
    return home.absolute() / "runs"


def folders(home: Path) -> Iterator[Path]:
    """The workers' folders of *home* on this machine, of living and of dead ones."""
    for base in (in_memory(home), on_disk(home)):
        yield from base.glob("worker-*")


def make_private(folder: Path) -> bool:
    """Make *folder* with mode 0700; False when it cannot be, or is there and somebody else's or a link."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700


class Workplace:
    """One worker's folder. Its lock file holds the worker's number in the queue, for whoever sweeps up after it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        base = in_memory(home)
        if not make_private(base):
            base = on_disk(home)
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = base / f"worker-{uuid.uuid4().hex[:12]}"
        self.folder.mkdir(mode=0o700)
        self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def record(self, queue_worker_id: int) -> None:
        """Note the worker's number in the queue."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(queue_worker_id).encode(), 0)

    def run_folder(self, run_id: uuid.UUID) -> Path:
        """A fresh folder for one run: one that is used twice would silently override new values."""
        folder = self.folder / str(run_id)
        folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Remove the folder, and the place in memory when no other worker uses it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)
        leave_memory(self.home)


def sweep(home: Path) -> list[int]:
    """Remove what dead workers of *home* left on this machine; their numbers in the queue.

    `dbhost down --purge` calls it too, when all workers have ended: then nothing is left.
    """
    numbers = [number for folder in list(folders(home)) if (number := sweep_one(folder)) is not None]
    leave_memory(home)
    return numbers


def leave_memory(home: Path) -> None:
    """Remove the place in memory if it is empty."""
    with contextlib.suppress(OSError):
        in_memory(home).rmdir()


def sweep_one(folder: Path) -> int | None:
    """Remove *folder* unless its worker holds the lock; the number it had noted, if any."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        number = os.pread(lock, 32, 0).decode()
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return None
    finally:
        os.close(lock)
    return int(number) if number else None
