"""The OS users of a stack that root starts, and running a command as one of them."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from webapp.embedded.environment import Stack, StackError

USERS = ("dbhost-postgres", "dbhost-agent", "dbhost-web", "dbhost-dump")


def missing() -> list[str]:
    return [name for name in USERS if not exists(name)]


def exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def ensure() -> list[str]:
    """Make the system users that are missing; the names made."""
    made = missing()
    for name in made:
        command = [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            name,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode != 0 and not exists(name):
            raise StackError(f"The system user {name} could not be made: {ended.stderr.strip()}")
    return made


def run_as(
    user: str, command: Sequence[str | Path], env: Mapping[str, str], *, cwd: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run *command* to its end as *user* (a no-op switch for an ordinary user), with its output captured."""
    return subprocess.run(
        [str(part) for part in command],
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        **switch(user),
    )


def switch(user: str) -> dict[str, Any]:
    """The keywords that make subprocess run as *user*; none where this process is that user or cannot switch."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def owner(stack: Stack, user: str) -> tuple[int, int]:
    """The uid and gid that a file of *user* gets; one's own for an ordinary user."""
    if not stack.as_root:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
