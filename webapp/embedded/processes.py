"""Find and stop the processes of one stack without its supervisor's help."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from webapp.embedded.environment import Stack
from webapp.embedded.programs import MARK


def of_stack(stack: Stack) -> list[int]:
    """The pids that belong to this home: by the mark in their environment, or, since PostgreSQL overwrites
    its environment with its title, by a server's working in this data directory."""
    mark = f"{MARK}={stack.home}".encode()
    data = str(stack.home / "postgres" / "data")
    return [
        pid
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        if pid != os.getpid() and (has_mark(pid, mark) or is_postgres_in(pid, data))
    ]


def has_mark(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def is_postgres_in(pid: int, data: str) -> bool:
    try:
        process = Path(f"/proc/{pid}")
        return str((process / "cwd").readlink()) == data and (process / "exe").readlink().name == "postgres"
    except OSError:
        return False


def sweep(stack: Stack, *, patience_s: float = 15) -> list[int]:
    """Stop every process of this home: SIGINT (a fast shutdown for PostgreSQL), later SIGKILL. The pids met."""
    found = of_stack(stack)
    if not found:
        return []
    send(found, signal.SIGINT)
    if not gone(stack, patience_s / 3):
        send(of_stack(stack), signal.SIGTERM)
    if not gone(stack, patience_s):
        send(of_stack(stack), signal.SIGKILL)
        gone(stack, 5)
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def gone(stack: Stack, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while of_stack(stack):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
