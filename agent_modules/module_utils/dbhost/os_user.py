# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do as an unprivileged OS user what belongs to it, in a module that root runs."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Open files and sockets as *name* inside the block. Started by that user itself, it does nothing.

    Only the effective user changes: when the module ends, Ansible reads more of its archive, which is root's.
    """
    if os.geteuid() != 0:
        yield
        return
    user, groups = pwd.getpwnam(name), os.getgroups()
    os.setgroups([])
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def run(name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run *command* as *name* in full: PostgreSQL refuses a process whose real and effective users differ."""
    options: dict[str, Any] = {"cwd": "/", "capture_output": True, "text": True, "check": False}
    if os.geteuid() == 0:
        user = pwd.getpwnam(name)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.run(command, **options)
