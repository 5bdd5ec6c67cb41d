"""Run the system's tools: lists of arguments, never a shell, the tool's own words when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from webapp.fleet.errors import FleetError

Progress = Callable[[str], None]
LAST_LINES = 8


def run(*argv: str, environment: Mapping[str, str] | None = None, timeout_s: float | None = 60) -> str:
    """The standard output of *argv*. Raises FleetError with the last lines of what it said."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
    except FileNotFoundError:
        raise FleetError(f"{argv[0]} is not installed.") from None
    except subprocess.TimeoutExpired:
        raise FleetError(f"{' '.join(argv)} did not end within {timeout_s:.0f} s.") from None
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise FleetError(f"{' '.join(argv)} failed (exit {done.returncode}):\n{said}")
    return done.stdout


def succeeds(*argv: str, timeout_s: float = 60) -> bool:
    """Whether *argv* ends well; for questions, and for cleaning up what may already be gone."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def launch(*argv: str, environment: Mapping[str, str], log_file: Path) -> None:
    """Start *argv* as a process of its own: it outlives the caller, and init waits for it."""
    with log_file.open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            check=True,
            cwd="/",
        )
