# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What people changed on this host by playbook: a file that only grows, one line of JSON for each database and run."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import files

NAME = "journal.jsonl"
READ_BYTES = 64 * 1024
# A line has to fit into what is read at once.
MOST_CHANGES, LONGEST = 20, 300


def entry(who: str, playbook: str, item: dict[str, Any]) -> dict[str, Any]:
    """One line: who changed which database, by what, and how it went; nothing in it is secret."""
    changes = [str(change)[:LONGEST] for change in item.get("changes", [])]
    left_out = [f"and {len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
    return {
        "id": str(uuid.uuid4()),
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "who": who[:LONGEST],
        "playbook": playbook[:LONGEST],
        "database": str(item["name"])[:LONGEST],
        "state": item.get("state", ""),
        "changes": [*changes[:MOST_CHANGES], *left_out],
        "error": str((item.get("error") or {}).get("message", ""))[:LONGEST] or None,
    }


def append(folder: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write whole lines, and see them on the disk; two runs take turns."""
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in entries)
    handle = os.open(folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, files.MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        files.give_to_owner_of(folder, handle)
        fcntl.flock(handle, fcntl.LOCK_EX)
        file.write(lines)
        file.flush()
        os.fsync(handle)


def read(folder: Path, after: int) -> dict[str, Any]:
    """The whole lines past byte *after*, a part at a time, and where the next part begins.

    A file that is shorter than what was read of it is another one: it is read from its start. A line that is no
    object is left out.
    """
    try:
        with (folder / NAME).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            begin = after if 0 <= after <= size else 0
            file.seek(begin)
            part = file.read(READ_BYTES)
    except FileNotFoundError:
        return {"entries": [], "read_to": 0}
    end = part.rfind(b"\n") + 1
    if not end and len(part) == READ_BYTES:  # nothing of ours is so long; it must not stop what comes after it
        end = len(part)
    return {"entries": _objects(part[:end]), "read_to": begin + end}


def _objects(text: bytes) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        try:
            held = json.loads(line)
        except ValueError:
            continue
        if isinstance(held, dict):
            found.append(held)
    return found
