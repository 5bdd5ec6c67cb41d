#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep several small files of one owner, each written whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration_files
short_description: Keep several small files of one owner, each written whole
description:
  - One task for a service's files, since a loop of templates costs about half a second for each file.
  - A file is written beside its place, flushed, and renamed into it, so that no reader sees half of one.
  - Not for secrets; what changes is shown in diff mode.
options:
  folder:
    description: Folder of the files; it exists.
    type: path
    required: true
  owner:
    description: OS user that owns the files.
    type: str
    required: true
  group:
    description: Group of the files; by default that of O(owner), and then it is not looked at again.
    type: str
  mode:
    description: Mode of the files.
    type: str
    default: "0640"
  files:
    description: Content of each file by its name.
    type: dict
    default: {}
  present:
    description: Names of files that only have to exist; what is in them is another's.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure PgBouncer's configuration is in place
  configuration_files:
    folder: /etc/pgbouncer
    owner: postgres
    files:
      pgbouncer.ini: "{{ lookup('ansible.builtin.template', 'pgbouncer.ini.j2') }}"
    present: [databases.ini]
"""

RETURN = r"""
written:
  description: Names of the files that were written, or would be in check mode.
  type: list
  elements: str
  returned: always
"""

import grp
import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


@dataclass(frozen=True)
class File:
    """One file as it should be, or as it is; *content* None: whatever it holds."""

    content: str | None
    uid: int
    gid: int | None
    mode: int


def observe(path: Path) -> File | None:
    if not path.exists():
        return None
    state = path.stat()
    return File(path.read_text(), state.st_uid, state.st_gid, state.st_mode & 0o7777)


def differs(current: File | None, wanted: File) -> bool:
    """Pure."""
    if current is None:
        return True
    content = current.content if wanted.content is None else wanted.content
    gid = current.gid if wanted.gid is None else wanted.gid
    return current != File(content, wanted.uid, gid, wanted.mode)


def write(path: Path, content: str, wanted: File) -> None:
    gid = pwd.getpwuid(wanted.uid).pw_gid if wanted.gid is None else wanted.gid
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fchmod(descriptor, wanted.mode)
        os.fchown(descriptor, wanted.uid, gid if os.geteuid() == 0 else -1)
        os.fsync(descriptor)
    Path(name).replace(path)


def text(file: File | None) -> str:
    return "" if file is None or file.content is None else file.content


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "owner": {"type": "str", "required": True},
            "group": {"type": "str"},
            "mode": {"type": "str", "default": "0640"},
            "files": {"type": "dict", "default": {}},
            "present": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    folder, uid = Path(module.params["folder"]), pwd.getpwnam(module.params["owner"]).pw_uid
    gid = grp.getgrnam(module.params["group"]).gr_gid if module.params["group"] else None
    contents = {**dict.fromkeys(module.params["present"]), **module.params["files"]}
    wanted = {name: File(content, uid, gid, int(module.params["mode"], 8)) for name, content in contents.items()}
    current = {name: observe(folder / name) for name in wanted}
    written = [name for name in wanted if differs(current[name], wanted[name])]
    diff = [
        {
            "before_header": str(folder / name),
            "after_header": str(folder / name),
            "before": text(current[name]),
            "after": text(current[name]) if wanted[name].content is None else text(wanted[name]),
        }
        for name in written
    ]
    if not module.check_mode:
        for name, change in zip(written, diff, strict=True):
            write(folder / name, change["after"], wanted[name])
    module.exit_json(changed=bool(written), written=written, diff=diff)


if __name__ == "__main__":
    main()
