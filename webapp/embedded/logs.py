"""Show and follow the stack's logs."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from webapp.embedded.environment import Stack, StackError

LINES = 100
POLL_S = 0.2


def files(stack: Stack, name: str | None) -> list[Path]:
    """The log called *name*, or all. Raises StackError for a name that there is none of."""
    found = sorted((stack.home / "logs").glob("*.log"))
    chosen = [path for path in found if name in (None, path.stem)]
    if not chosen:
        known = ", ".join(path.stem for path in found) or "none yet"
        raise StackError(f"There is no log {name or ''} in {stack.home / 'logs'}: {known}.")
    return chosen


def show(stack: Stack, name: str | None) -> None:
    """Print the end of the log, or of each log."""
    chosen = files(stack, name)
    for path in chosen:
        with path.open(errors="replace") as file:
            for line in deque(file, LINES):
                write(path, line, labelled=len(chosen) > 1)


def follow(stack: Stack, name: str | None) -> None:
    """Print what is added from now on, for ever. A log that is rotated is opened again."""
    positions = {path: path.stat().st_size for path in files(stack, name)}
    while True:
        for path in sorted({*positions, *files(stack, name)}):
            positions[path] = print_from(path, positions.get(path, 0), labelled=name is None)
        sys.stdout.flush()
        time.sleep(POLL_S)


def follow_until_interrupted(stack: Stack, name: str | None) -> None:
    with suppress(KeyboardInterrupt):
        follow(stack, name)


def print_from(path: Path, position: int, *, labelled: bool) -> int:
    """Print whole lines after *position*; the position after them."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(position if path.stat().st_size >= position else 0)
        for raw in file:
            if not raw.endswith(b"\n"):
                return file.tell() - len(raw)
            write(path, raw.decode(errors="replace"), labelled=labelled)
        return file.tell()


def write(path: Path, line: str, *, labelled: bool) -> None:
    sys.stdout.write(f"{path.stem:>12} | {line}" if labelled else line)
