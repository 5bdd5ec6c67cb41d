"""One cgroup for each host and helper: what runs in it is found, counted and killed through it, whatever its parent."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from webapp.fleet.errors import FleetError

MOUNTS = Path("/sys/fs/cgroup")
GONE_WITHIN_S = 20.0
POLL_S = 0.02


def hierarchies() -> list[Path]:
    """The unified hierarchy first; then systemd's old one where the machine has it, for that is inherited apart."""
    if (MOUNTS / "cgroup.controllers").exists():
        return [MOUNTS]
    if (MOUNTS / "unified/cgroup.controllers").exists():
        return [MOUNTS / "unified", *([MOUNTS / "systemd"] if (MOUNTS / "systemd/cgroup.procs").exists() else [])]
    raise FleetError("This machine has no unified cgroup hierarchy (cgroup2), which hosts need.")


def make(path: str) -> list[Path]:
    """The folders of cgroup *path*, one in each hierarchy, made where missing."""
    folders = [root / path for root in hierarchies()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def unified(path: str) -> Path:
    return hierarchies()[0] / path


def processes(path: str) -> list[int]:
    """The process ids directly in cgroup *path* of the unified hierarchy."""
    try:
        return [int(line) for line in (unified(path) / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):  # ENODEV: removed between open and read
        return []


def is_populated(path: str) -> bool:
    """Whether any process lives in *path* or below."""
    try:
        return "populated 1" in (unified(path) / "cgroup.events").read_text()
    except (FileNotFoundError, OSError):
        return False


def wait_empty(path: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_populated(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def kill(path: str) -> None:
    """End every process in *path* and below at once, and wait until they are gone."""
    with suppress(FileNotFoundError):
        (unified(path) / "cgroup.kill").write_text("1")
    for root in hierarchies()[1:]:
        _kill_one_by_one(root / path)
    if not wait_empty(path, GONE_WITHIN_S):
        raise FleetError(f"Processes in cgroup {path} do not end: {unified(path)}")


def _kill_one_by_one(folder: Path) -> None:
    """For the old hierarchy, which has no cgroup.kill: what was killed before it joined the unified one."""
    for procs in folder.rglob("cgroup.procs"):
        with suppress(OSError):
            for pid in procs.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def remove(path: str) -> None:
    """Kill what is left in *path* and remove it from each hierarchy. Nothing when it is not there."""
    kill(path)
    for root in hierarchies():
        _remove_tree(root / path)


def _remove_tree(folder: Path) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while folder.exists():
        for below in sorted((entry for entry in folder.rglob("*") if entry.is_dir()), reverse=True):
            with suppress(OSError):
                below.rmdir()
        with suppress(OSError):
            folder.rmdir()
        if folder.exists():
            if time.monotonic() > deadline:
                raise FleetError(f"{folder} cannot be removed; a process in it does not end.")
            time.sleep(POLL_S)
