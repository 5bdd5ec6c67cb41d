# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every keeper of programs asks, systemd or supervisor: are its files newer than the process, does it answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from pathlib import Path


def newest(files: Iterable[str | Path]) -> float:
    """When the last of *files* was changed, in seconds since the epoch; 0 for none."""
    return max((Path(file).stat().st_mtime for file in files), default=0.0)


def is_outdated(started_at: int, changed_at: float) -> bool:
    """Whether a process started at *started_at* has not read files changed at *changed_at*.

    Both keepers tell whole seconds: only a file of a later second is surely newer than the process.
    """
    return int(changed_at) > started_at


def answers_within(port: int, timeout_s: float) -> bool:
    """Wait until *port* takes connections on loopback; False when it did not in time."""
    deadline = time.monotonic() + timeout_s
    while not answers(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def answers(port: int) -> bool:
    """Whether something takes connections on *port*, now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
