# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Long work that goes on when its module has answered, and is looked at by tasks that repeat.

Ansible's own `async` would write the arguments, and with them signed addresses, into a file. Here a child keeps them in
its memory. It ends by itself when nobody has looked at it for a while: whoever asked for it is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import dump_files, files
from .errors import TenantError

ABANDONED_AFTER_S = 90.0
_KEPT_S = 86_400
_WRITE_EVERY_S = 0.5
_POLL_S = 0.02


class Progress:
    """How far a job is. Whoever does the work says so, and is told when to stop."""

    def __init__(self, path: Path) -> None:
        self.bytes_done, self.bytes_total = 0, 0
        self._path, self._written_at, self._lock = path, 0.0, threading.Lock()
        # What can wait until the result is told; nobody waits for it, and it may be killed.
        self.afterwards: list[Callable[[], object]] = []

    def add(self, count: int) -> None:
        """*count* more bytes are done. Raises TenantError if the work is to stop."""
        with self._lock:
            self.bytes_done += count
        self.check()

    def check(self) -> None:
        """Raise TenantError if nobody waits for the result any more. Cheap enough to ask often."""
        if time.monotonic() - self._written_at < _WRITE_EVERY_S:
            return
        self._written_at = time.monotonic()
        try:
            looked_at = self._path.stat().st_atime_ns / 1e9
        except FileNotFoundError:
            looked_at = 0.0
        if time.time() - looked_at > ABANDONED_AFTER_S:
            raise TenantError("abandoned", "Nobody waited for the result any more.", retryable=True)
        with self._lock:
            _write(self._path, {**self.as_dict(), "finished": False}, looked_at)

    def as_dict(self) -> dict[str, int]:
        """What a look at the job shows."""
        return {"bytes_done": self.bytes_done, "bytes_total": max(self.bytes_total, self.bytes_done)}


Work = Callable[[Progress], dict[str, Any]]


def start(state_dir: Path, work: Work) -> str:
    """Begin *work* in a process of its own; the job's name. What *work* raises becomes its `error`."""
    folder = dump_files.store(state_dir, "jobs")
    _sweep(folder)
    name = uuid.uuid4().hex
    _write(folder / name, {"finished": False, "bytes_done": 0, "bytes_total": 0}, time.time())
    files.give_to_owner_of(folder, folder / name)
    child = os.fork()
    if child == 0:
        _detached(folder / name, work)
    os.waitpid(child, 0)
    return name


def look(state_dir: Path, name: str, wait_s: float) -> dict[str, Any]:
    """How job *name* is; its result once it has finished, which is then forgotten. Waits up to *wait_s* for that."""
    path = state_dir / "jobs" / str(uuid.UUID(name).hex)
    deadline = time.monotonic() + wait_s
    while True:
        alive = _is_alive(path)
        found = _read(path)
        if found["finished"] or not alive:
            path.unlink(missing_ok=True)
            return found if found["finished"] else {**found, "finished": True, "result": {"error": _died()}}
        if time.monotonic() > deadline:
            return found
        time.sleep(_POLL_S)


def _detached(path: Path, work: Work) -> None:
    """In the child: leave the module's session and streams, then work. Never returns."""
    try:
        os.setsid()
        handle = os.open(path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fork():
            os._exit(0)
        _let_go_of_all_but(handle)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        progress = Progress(path)
        result = _guarded(work, progress)
        _write(path, {**progress.as_dict(), "finished": True, "result": result}, time.time())
        for step in progress.afterwards:
            with contextlib.suppress(Exception):
                step()
    finally:
        os._exit(0)


def _let_go_of_all_but(handle: int) -> None:
    os.chdir("/")
    empty = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(empty, stream)
    os.closerange(3, handle)
    os.closerange(handle + 1, 65536)


def _guarded(work: Work, progress: Progress) -> dict[str, Any]:
    try:
        return work(progress)
    except TenantError as error:
        return {"error": error.as_dict()}
    except BaseException as error:  # noqa: BLE001  # a process's outermost: what it writes must never hold a value
        message = f"The work ended unexpectedly ({type(error).__name__})."
        return {"error": TenantError("unexpected", message, retryable=True).as_dict()}


def _write(path: Path, found: dict[str, Any], looked_at: float) -> None:
    """Written in place: the lock that says that the job lives is on this very file."""
    data = json.dumps(found).encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(handle, data.ljust(os.fstat(handle).st_size, b" "), 0)
        os.utime(handle, (looked_at, time.time()))
    finally:
        os.close(handle)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        now = time.time()
        os.utime(path, (now, path.stat().st_mtime))
        return dict(json.loads(text))
    except FileNotFoundError:
        return {"finished": True, "bytes_done": 0, "bytes_total": 0, "result": {"error": _died()}}
    except ValueError:  # read while it was written
        return {"finished": False, "bytes_done": 0, "bytes_total": 0}


def _is_alive(path: Path) -> bool:
    """Whether the job's process lives: it holds a lock on the file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def _died() -> dict[str, Any]:
    return TenantError("job_died", "The work on the host was killed.", retryable=True).as_dict()


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
