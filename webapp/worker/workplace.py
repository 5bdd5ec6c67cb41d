"""A worker's private folder for its runs, on memory where possible; a lock in it says that the worker lives."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import uuid
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # only below a folder that is checked to be ours and 0700
LOCK = "lock"


def base(home: Path) -> Path:
    """Where the workers of *home* keep their folders: on tmpfs when it is there and ours, else in the home."""
    home = home.absolute()
    name = hashlib.sha256(f"{home}:{os.geteuid()}".encode()).hexdigest()[:12]
    in_memory = SHARED_MEMORY / f"dbhost-{name}"
    return in_memory if SHARED_MEMORY.is_dir() and make_private(in_memory) else home / "runs"


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
        self.base = base(home)
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = self.base / f"worker-{uuid.uuid4().hex[:12]}"
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
        """Remove the folder, and its place in memory when no other worker uses it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)
        if self.base.parent == SHARED_MEMORY:
            with contextlib.suppress(OSError):
                self.base.rmdir()


def sweep(home: Path) -> list[int]:
    """Remove the folders of dead workers of *home* on this machine; their numbers in the queue."""
    folders = base(home).glob("worker-*")
    return [number for folder in folders if (number := sweep_one(folder)) is not None]


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
