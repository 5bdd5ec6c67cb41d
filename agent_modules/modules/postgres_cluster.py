#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a PostgreSQL cluster once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_cluster
short_description: Make a PostgreSQL cluster once
description:
  - Runs C(initdb) with data checksums, the builtin C.UTF-8 locale, and no way in but by peer.
  - A cluster is made beside its place and moved there when it is whole, so that a run cut short leaves no half of one.
  - An existing cluster is left alone.
options:
  bin_dir:
    description: Folder of C(initdb).
    type: path
    required: true
  data_dir:
    description: The cluster's folder; it exists, belongs to O(os_user), and may be empty.
    type: path
    required: true
  os_user:
    description: OS user that owns the cluster. Root acts as it.
    type: str
    required: true
  superuser:
    description: Name of the bootstrap superuser.
    type: str
    default: postgres
  wal_dir:
    description:
      - Folder for the write-ahead log, on a filesystem of its own; it exists, belongs to O(os_user), and is empty.
      - Looked at only when the cluster is made.
    type: path
attributes:
  check_mode:
    support: full
author:
  - DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure the cluster exists
  postgres_cluster:
    bin_dir: /usr/lib/postgresql/17/bin
    data_dir: /var/lib/postgresql/17/main
    os_user: postgres
"""

RETURN = r"""
version:
  description: Major version of the cluster, empty in check mode when there is none yet.
  type: str
  returned: always
"""

import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dbhost import os_user

WAL_ENTRY = re.compile(r"[0-9A-F]{24}|archive_status|summaries")


def observe(data_dir: Path) -> str:
    """The major version of the cluster in *data_dir*, or an empty string."""
    version = data_dir / "PG_VERSION"
    return version.read_text().strip() if version.exists() else ""


def initdb(params: dict[str, Any], unfinished: Path) -> str:
    """Make the cluster in *unfinished*; an empty string, or why it failed."""
    command = [
        str(Path(params["bin_dir"]) / "initdb"),
        f"--pgdata={unfinished}",
        f"--username={params['superuser']}",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "--auth-local=peer",
        "--auth-host=scram-sha-256",
        *([f"--waldir={params['wal_dir']}"] if params["wal_dir"] else []),
    ]
    ended = os_user.run(params["os_user"], command)
    return "" if ended.returncode == 0 else ended.stderr.strip()


def move_up(unfinished: Path, data_dir: Path) -> None:
    """Put the finished cluster in its place, PG_VERSION last: with it the cluster exists."""
    for entry in sorted(unfinished.iterdir(), key=lambda path: path.name == "PG_VERSION"):
        entry.replace(data_dir / entry.name)
    unfinished.rmdir()


def wait_for_others(data_dir: Path) -> None:
    """A run whose `up` was killed may still be at it, as nobody's child; the lock ends with this process."""
    fcntl.flock(os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_EX)


def remove_remains(data_dir: Path) -> None:
    """Whatever lies in a folder without PG_VERSION was left by a run cut short while it moved the cluster up."""
    for entry in data_dir.iterdir():
        remove(entry)


def remove_wal_remains(wal_dir: Path) -> None:
    """The same for a log's folder, unless there is anything in it but a log: then initdb will refuse it."""
    entries = list(wal_dir.iterdir())
    if all(WAL_ENTRY.fullmatch(entry.name) for entry in entries):
        for entry in entries:
            remove(entry)


def remove(entry: Path) -> None:
    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "bin_dir": {"type": "path", "required": True},
            "data_dir": {"type": "path", "required": True},
            "os_user": {"type": "str", "required": True},
            "superuser": {"type": "str", "default": "postgres"},
            "wal_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    data_dir, user = Path(module.params["data_dir"]), module.params["os_user"]
    if not module.check_mode:
        wait_for_others(data_dir)
    exists = observe(data_dir) != ""
    if not exists and not module.check_mode:
        unfinished = data_dir / "unfinished"
        with os_user.acting_as(user):
            remove_remains(data_dir)
            if module.params["wal_dir"]:
                remove_wal_remains(Path(module.params["wal_dir"]))
        failure = initdb(module.params, unfinished)
        if failure:
            module.fail_json(msg=f"initdb failed: {failure}")
        with os_user.acting_as(user):
            move_up(unfinished, data_dir)
    module.exit_json(changed=not exists, version=observe(data_dir))


if __name__ == "__main__":
    main()
