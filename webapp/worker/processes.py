"""End a process and all that it started: Ansible's forks are sessions of their own, a group signal misses them."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

POLL_S = 0.05


def parents() -> dict[int, int]:
    """Each living process's parent; a zombie counts as gone."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)) and fields[0] != "Z":
            found[int(entry.name)] = int(fields[1])
    return found


def tree(roots: Iterable[int]) -> set[int]:
    """The living processes among *roots* and all their descendants."""
    by_child = parents()
    found = {root for root in roots if root in by_child}
    while more := {child for child, parent in by_child.items() if parent in found} - found:
        found |= more
    return found


def end(roots: Iterable[int], patience_s: float) -> None:
    """SIGTERM to the whole tree, then SIGKILL to what is left after *patience_s*.

    The tree is taken before the first signal: orphans move to init and could not be found again.
    """
    roots = [root for root in roots if Path(f"/proc/{root}").exists()]
    if not roots:
        return
    members = tree(roots)
    send(members, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while (members := members & parents().keys()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    send(members | tree(members), signal.SIGKILL)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal each process that is still there and ours."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _stat(entry: Path) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; the name before it may hold blanks and brackets."""
    try:
        return (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
