"""Have a PgBouncer that is new enough in DBHOST_HOME/bin: the given one, the system's, a cached one, or a new build."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from webapp.embedded import pgbouncer_patch, pgbouncer_source
from webapp.embedded.environment import Stack, StackError
from webapp.embedded.progress import Progress

# 1.21 brought prepared statements to transaction pooling.
FLOOR = (1, 21)
SYSTEM_PLACES = ("/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/usr/bin/pgbouncer")


def ensure(stack: Stack, environ: Mapping[str, str], progress: Progress) -> None:
    """Put a PgBouncer that runs here and is new enough in its place, unless it is there already."""
    target = stack.pgbouncer_executable
    given = environ.get("DBHOST_PGBOUNCER_BIN")
    if given:
        if not is_good(Path(given)):
            raise StackError(
                f"DBHOST_PGBOUNCER_BIN={given} is no PgBouncer {FLOOR[0]}.{FLOOR[1]} or newer that runs here."
            )
        if told(target) != told(Path(given)):
            place(Path(given), target)
        return
    if is_good(target) and (is_mended(target) or any(map(is_good, system_places()))):
        return
    try:
        place(available(progress), target)
    except StackError as error:
        if not is_good(target):
            raise
        progress.note(f"PgBouncer stays as it was built before: {error}")


def available(progress: Progress) -> Path:
    """A PgBouncer of this machine that is new enough, built into this user's cache when there is none."""
    found = next((path for path in known_places() if is_good(path)), None)
    if found is None:
        with progress.step("Build PgBouncer (once on this machine, under a minute)"):
            found = build(progress)
    return found


def known_places() -> list[Path]:
    return [*system_places(), cache()]


def system_places() -> list[Path]:
    on_path = shutil.which("pgbouncer")
    return [*map(Path, [on_path] if on_path else []), *map(Path, SYSTEM_PLACES)]


def build(progress: Progress) -> Path:
    """Build into the cache, so that another DBHOST_HOME of this user finds it."""
    cache().parent.mkdir(parents=True, exist_ok=True)
    built = pgbouncer_source.build(progress, is_good)
    place(built, cache())
    shutil.rmtree(built.parent, ignore_errors=True)
    return cache()


def cache() -> Path:
    """Where this user keeps the build for this release of the system; under another name when the patch changes."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    release = platform.freedesktop_os_release()
    name = f"pgbouncer-{release.get('ID', 'linux')}{release.get('VERSION_ID', '')}-{platform.machine()}"
    return base / "dbhost" / f"{name}{pgbouncer_patch.MARK}"


def place(source: Path, target: Path) -> None:
    """Copy under another name and rename: nobody ever sees half a program."""
    candidate = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, candidate)
    candidate.chmod(0o755)
    candidate.replace(target)


def is_good(program: Path) -> bool:
    return (version(program) or (0, 0)) >= FLOOR


def is_mended(program: Path) -> bool:
    """Whether an empty search_path, which pg_dump sets, goes through it."""
    return pgbouncer_patch.MARK in told(program)


def version(program: Path) -> tuple[int, ...] | None:
    """The version that *program* tells, or None when it does not run here."""
    match = re.match(r"PgBouncer (\d+)\.(\d+)(?:\.(\d+))?", told(program))
    return tuple(int(part) for part in match.groups() if part) if match else None


def told(program: Path) -> str:
    """What *program* says of its version; nothing when it does not run here."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
