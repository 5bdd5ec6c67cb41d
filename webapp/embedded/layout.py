"""The folders of a stack, their owners and modes, and files written whole."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from webapp.embedded import users
from webapp.embedded.environment import Stack, settings_file

SOCKET_PATH_LIMIT = 107
# All that DBHost puts into a home: what a purge may remove there.
CONTENTS = (
    "secrets",
    "tls",
    "ssh",
    "bin",
    "postgres",
    "pgbouncer",
    "host",
    "run",
    "runs",
    "logs",
    "supervisor",
    "backups",
    "spool",
    "fleet",
    "outbox",
    ".lock",
)
LONGEST_SOCKET = "pgbouncer/.s.PGSQL.65535"


@dataclass(frozen=True)
class Folder:
    path: Path
    user: str
    mode: int
    group: str | None = None


def folders(stack: Stack) -> list[Folder]:
    """Parents first. The top ones are open for search only; what is secret closes itself."""
    root = "root" if stack.as_root else stack.agent_user
    home, agent, postgres = stack.home, stack.agent_user, stack.postgres_user
    top = 0o711 if stack.as_root else 0o700
    return [
        Folder(home, root, top),
        Folder(home / "secrets", root, top),
        Folder(home / "tls", root, 0o755),
        Folder(home / "ssh", agent, 0o711),
        Folder(home / "bin", root, 0o755),
        Folder(home / "postgres", root, top),
        Folder(home / "postgres" / "data", postgres, 0o700),
        Folder(home / "pgbouncer", agent, 0o750),
        Folder(home / "host", agent, 0o750),
        Folder(home / "runs", agent, 0o700),
        # What one process writes here the other reads; files get the folder's group, whoever makes them.
        Folder(home / "spool", root, top),
        Folder(home / "spool" / "uploads", stack.web_user, 0o2770, group=agent),
        Folder(home / "spool" / "copies", agent, 0o2750, group=stack.web_user),
        Folder(home / "logs", root, 0o700),
        Folder(home / "supervisor", root, 0o700),
        Folder(home / "outbox", stack.web_user, 0o700),
        Folder(stack.socket_dir, root, top),
        Folder(stack.socket_dir / "postgres", postgres, 0o711),
        Folder(stack.socket_dir / "pgbouncer", agent, 0o700),
        Folder(stack.socket_dir / "dumps", stack.dump_user, 0o711),
    ]


def ensure(stack: Stack) -> None:
    for folder in folders(stack):
        folder.path.mkdir(parents=True, exist_ok=True)
        uid = users.owner(stack, folder.user)[0]
        gid = users.owner(stack, folder.group or folder.user)[1]
        state = folder.path.stat()
        if (state.st_uid, state.st_gid) != (uid, gid):
            os.chown(folder.path, uid, gid)
        if state.st_mode & 0o7777 != folder.mode:
            folder.path.chmod(folder.mode)


def with_short_sockets(stack: Stack) -> Stack:
    """The same stack with its sockets in a folder whose path a unix socket can have.

    The folder elsewhere is named after the home, so that every command finds the same one.
    """
    if len(os.fsencode(stack.socket_dir / LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT:
        return stack
    digest = hashlib.sha256(os.fsencode(stack.home)).hexdigest()[:12]
    base = Path("/run") if stack.as_root else Path(tempfile.gettempdir())
    return replace(stack, socket_dir=base / f"dbhost-{os.geteuid()}-{digest}")


def has_outside_sockets(stack: Stack) -> bool:
    return not stack.socket_dir.is_relative_to(stack.home)


def write_file(
    stack: Stack, path: Path, content: str | bytes, user: str, mode: int, *, group: str | None = None
) -> bool:
    """Write *path* whole (temporary file, rename); True when that changed anything."""
    data = content.encode() if isinstance(content, str) else content
    uid, own_gid = users.owner(stack, user)
    gid = users.owner(stack, group)[1] if group else own_gid
    if path.exists() and path.read_bytes() == data and is_as(path, uid, gid, mode):
        return False
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, uid, gid)
        file.flush()
        os.fsync(descriptor)
    Path(name).replace(path)
    return True


def is_as(path: Path, uid: int, gid: int, mode: int) -> bool:
    state = path.stat()
    return (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (uid, gid, mode)


def record_settings(stack: Stack) -> None:
    root = "root" if stack.as_root else stack.agent_user
    write_file(stack, settings_file(stack.home), json.dumps(stack.recorded(), indent=2) + "\n", root, 0o644)
