#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delete files of backups from the host's store."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_backup_files
short_description: Delete files of backups from the host's store
description:
  - Deletes the files that are named and leaves the others alone. A file that is not there is as it should be.
  - A folder that has no file left goes too.
  - Says where a file that is to be fetched is.
options:
  absent:
    description: Files that are to go.
    type: list
    elements: dict
    default: []
    suboptions:
      folder:
        description: UUID that names the database's folder.
        type: str
        required: true
      filename:
        description: Name of the file.
        type: str
        required: true
  present:
    description: A file that must be there.
    type: dict
    suboptions:
      folder:
        description: UUID that names the database's folder.
        type: str
        required: true
      filename:
        description: Name of the file.
        type: str
        required: true
  state_dir:
    description: Folder of the host's own state; the store is below it.
    type: path
    required: true
attributes:
  check_mode:
    support: full
author: DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure an old backup is gone
  tenant_backup_files:
    absent:
      - folder: 0b9b4c3e-6a65-4d43-9d5a-5f3f2f6a7d10
        filename: 20261024_020000.sql.gz
    state_dir: /var/lib/dbhost
"""

RETURN = r"""
files:
  description: What was deleted (in check mode, what would be), where the file that must be there is, and the error.
  returned: always
  type: dict
  sample: {removed: [0b9b4c3e-6a65-4d43-9d5a-5f3f2f6a7d10/20261024_020000.sql.gz], path: null, error: null}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import dump_specs

try:
    from ansible.module_utils.dbhost import dump_files, dump_options
except ImportError:
    dump_options = None

OPTIONS = {
    "absent": {"type": "list", "elements": "dict", "default": [], "options": dump_specs.FILE},
    "present": {"type": "dict", "options": dump_specs.FILE},
    "state_dir": {"type": "path", "required": True},
}


def work(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Every place is checked before the first file goes."""
    places = [*params["absent"], *([params["present"]] if params["present"] else [])]
    for place in places:
        dump_files.require_place(place["folder"], place["filename"])
    store, wanted = Path(params["state_dir"]) / "backups", params["present"]
    removed = [
        f"{place['folder']}/{place['filename']}"
        for place in params["absent"]
        if dump_files.remove(store / place["folder"], place["filename"], check=check)
    ]
    path = dump_files.require_file(store / wanted["folder"], wanted["filename"]) if wanted else None
    return {"removed": removed, "path": path, "error": None}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if dump_options is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    found = dump_options.guarded(lambda: work(module.params, check=module.check_mode))
    files = {"removed": [], "path": None, **found}
    if files["error"]:
        module.fail_json(msg=files["error"]["message"], files=files)
    module.exit_json(changed=bool(files["removed"]), files=files)


if __name__ == "__main__":
    main()
