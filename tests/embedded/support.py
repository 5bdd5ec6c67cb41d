"""What tests of whole stacks look at: the processes that run, and those that are left."""

import os
from pathlib import Path

from tests.support.stack import Stack

# An ordinary user's agent is the OS user of dumps itself.
PROGRAMS = {"postgres", "pgbouncer", "pgbouncer-direct", "watchdog", "reconnect", "web", "worker"}
PROGRAMS |= {"dumps"} if os.geteuid() == 0 else set()


def pids(stack: Stack) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in stack.status()["processes"] if row["state"] == "running"}


def living(home: Path) -> list[str]:
    """Every living process that names this home, or works in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(home) in words or str(home) in str((process / "cwd").readlink()):
                found.append(words)
        except OSError:
            continue
    return [words for words in found if "pytest" not in words]
