"""Let the stack's OS users pass through folders that are closed to others, and take that back at the end.

The grants are recorded for the whole machine, since two stacks can need the same folder (that of the Python
interpreter, say): the last one to go takes the grant away.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from webapp.embedded import acl, users
from webapp.embedded.environment import CHECKOUT, Stack, StackError, base_environment

REGISTRY = Path("/var/lib/dbhost-embedded/access.json")
SEARCH, READ_AND_SEARCH = 1, 5


@dataclass
class Grant:
    """One folder that was opened: its mode before, and the homes that need it open."""

    mode: int
    homes: list[str] = field(default_factory=list)


def grant(stack: Stack) -> list[str]:
    """Open what is closed to the OS users; a sentence for each folder opened now. Nothing for an ordinary user."""
    if not stack.as_root:
        return []
    uids = [pwd.getpwnam(name).pw_uid for name in users.USERS]
    said = []
    with registry() as grants:
        for folder, permissions in closed_folders(stack):
            known = grants.get(str(folder))
            if not is_open(folder, permissions, uids):
                known = known or Grant(stat.S_IMODE(folder.stat().st_mode))
                open_folder(folder, permissions, uids)
                said.append(f"{folder} is closed to other users: the stack's OS users may now pass through it.")
            if known is not None:
                grants[str(folder)] = Grant(known.mode, sorted({*known.homes, str(stack.home)}))
    require_python(stack)
    return said


def closed_folders(stack: Stack) -> list[tuple[Path, int]]:
    """Folders on the way to what the OS users open, that others may not enter, outermost first."""
    leaves = [CHECKOUT, CHECKOUT / ".venv", Path(sys.base_prefix), Path(sys.executable).resolve().parent]
    wanted: dict[Path, int] = {}
    for leaf in [*leaves, stack.home, stack.socket_dir]:
        for parent in leaf.resolve().parents:
            wanted.setdefault(parent, SEARCH)
    for leaf in leaves:
        wanted[leaf.resolve()] = READ_AND_SEARCH
    return sorted((folder, bits) for folder, bits in wanted.items() if folder.stat().st_mode & bits != bits)


def is_open(folder: Path, permissions: int, uids: list[int]) -> bool:
    entries = {entry.id: entry.permissions for entry in acl.read(folder) if entry.tag == acl.USER}
    return all(entries.get(uid, 0) & permissions == permissions for uid in uids)


def open_folder(folder: Path, permissions: int, uids: list[int]) -> None:
    try:
        acl.write(folder, acl.with_users(acl.read(folder), uids, permissions))
    except OSError as error:
        raise StackError(
            f"{folder} is closed to other users and takes no access list ({error.strerror}). PostgreSQL refuses to run "
            f"as root, so its own user must reach it: `chmod o+x {folder}`, or move what lies below it."
        ) from None


def require_python(stack: Stack) -> None:
    """Raise StackError unless the OS users can read the checkout and its environment (a umask may have closed them)."""
    command = [sys.executable, "-c", "import supervisor, webapp.embedded"]
    ended = users.run_as(stack.agent_user, command, base_environment(stack.home))
    if ended.returncode != 0:
        end = ended.stderr.strip().splitlines()[-1:]
        raise StackError(
            f"The OS user {stack.agent_user} cannot run Python from this checkout ({' '.join(end)}). "
            f"Make it readable: chmod -R go+rX {CHECKOUT}"
        )


def revoke(stack: Stack) -> None:
    """Close again what only this stack needed open."""
    if not stack.as_root or not REGISTRY.exists():
        return
    with registry() as grants:
        for folder, known in list(grants.items()):
            known.homes = [home for home in known.homes if home != str(stack.home) and Path(home).exists()]
            if not known.homes:
                close_folder(Path(folder), known.mode)
                del grants[folder]


def close_folder(folder: Path, mode: int) -> None:
    if not folder.exists():
        return
    uids = [pwd.getpwnam(name).pw_uid for name in users.USERS if users.exists(name)]
    left = acl.without_users(acl.read(folder), uids)
    if any(entry.tag in (acl.USER, acl.GROUP) for entry in left):
        acl.write(folder, left)
    elif os.listxattr(folder).count(acl.ATTRIBUTE):
        acl.remove(folder, mode)


@contextmanager
def registry() -> Iterator[dict[str, Grant]]:
    """The grants of this machine, under a lock; written back as the block leaves them, also when it raises."""
    REGISTRY.parent.mkdir(mode=0o700, exist_ok=True)
    with REGISTRY.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        grants = {path: Grant(**known) for path, known in read_registry().items()}
        try:
            yield grants
        finally:
            write_registry({path: asdict(known) for path, known in grants.items()})


def read_registry() -> dict[str, dict[str, Any]]:
    return dict(json.loads(REGISTRY.read_text())) if REGISTRY.exists() else {}


def write_registry(grants: dict[str, dict[str, Any]]) -> None:
    """An empty one is no file, and no folder."""
    if not grants:
        for file in (REGISTRY, REGISTRY.with_suffix(".lock")):
            file.unlink(missing_ok=True)
        REGISTRY.parent.rmdir()
        return
    candidate = REGISTRY.with_suffix(".new")
    candidate.write_text(json.dumps(grants, indent=2) + "\n")
    candidate.replace(REGISTRY)
