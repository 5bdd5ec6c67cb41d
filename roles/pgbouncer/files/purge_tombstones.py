#!/usr/bin/python3
"""Take the tombstones of deleted tenants out of PgBouncer's userlist, before PgBouncer starts.

A running PgBouncer keeps a role whose line is gone, so that module pgbouncer_tenants replaces lines and deletes none.
One that starts knows nobody: then the lines can go. Run by systemd as the agent's OS user. Never keeps PgBouncer from
starting: while a run holds the host's lock, the tombstones stay until the next time.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
import time
from pathlib import Path

WAIT_S = 2.0


def purge(state_dir: Path, userlist: Path) -> int:
    """How many tombstones went."""
    store = state_dir / "tenants.json"
    if not (store.exists() and userlist.exists()):
        return 0
    held = json.loads(store.read_text(encoding="utf-8"))
    gone = {entry["tombstone"] for entry in held["tenants"].values() if entry["tombstone"]}
    if not gone:
        return 0
    lines = userlist.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not any(f'"{tombstone}"' in line for tombstone in gone)]
    replace(userlist, "\n".join(kept) + "\n")
    for entry in held["tenants"].values():
        entry["tombstone"] = None
    replace(store, json.dumps(held, indent=1) + "\n")  # as module pgbouncer_tenants writes it
    return len(gone)


def replace(path: Path, text: str) -> None:
    """Write *path* as a whole, a second newer than it was: a userlist of the same second is not read again."""
    newest = int(path.stat().st_mtime) + 1
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(descriptor, 0o640)
        os.fchown(descriptor, -1, path.parent.stat().st_gid)
        seconds = max(int(time.time()), newest)
        os.utime(descriptor, (seconds, seconds))
        os.fsync(descriptor)
    Path(name).replace(path)


def lock(state_dir: Path) -> int | None:
    """The host's lock, as every run takes it, or None when another has it for too long."""
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)


def main() -> None:
    state_dir, userlist = map(Path, sys.argv[1:])
    if lock(state_dir) is None:
        sys.stdout.write("Another run holds this host's lock; tombstones stay until the next start.\n")
        return
    sys.stdout.write(f"Took {purge(state_dir, userlist)} tombstones out of the userlist.\n")


if __name__ == "__main__":
    main()
