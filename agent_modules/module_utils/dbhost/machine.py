# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine under the host's PostgreSQL: its filesystems, memory and load. Needs no rights."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_MEMINFO = Path("/proc/meminfo")
_OS_RELEASE = Path("/etc/os-release")


def disk(purpose: str, wanted: str) -> dict[str, Any]:
    """The filesystem of *wanted*. Below a folder that is closed to us it is that folder's, and `path` says so."""
    path = Path(wanted)
    while True:
        try:
            found = os.statvfs(path)
            break
        except OSError:
            if path == path.parent:
                raise
            path = path.parent
    size = found.f_frsize
    return {
        "purpose": purpose,
        "path": str(path),
        "total_bytes": found.f_blocks * size,
        "free_bytes": found.f_bavail * size,
    }


def memory() -> dict[str, int]:
    """Memory that is there, and that programs could still get."""
    lines = (line.split() for line in _MEMINFO.read_text(encoding="ascii").splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return {"total_bytes": kib["MemTotal"] * 1024, "available_bytes": kib["MemAvailable"] * 1024}


def load() -> dict[str, Any]:
    """Load averages over 1, 5 and 15 minutes, and the processors that share it."""
    one, five, fifteen = os.getloadavg()
    return {"one": one, "five": five, "fifteen": fifteen, "processors": os.cpu_count() or 1}


def system() -> str:
    """The operating system in its own words."""
    try:
        lines = _OS_RELEASE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.system()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("PRETTY_NAME", platform.system()).strip('"')
