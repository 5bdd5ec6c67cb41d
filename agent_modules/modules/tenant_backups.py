#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Begin backups of several tenant databases."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_backups
short_description: Begin backups of several tenant databases
description:
  - As M(tenant_backup) for each of a list, some of them side by side, in one job. M(tenant_job) says how it goes.
  - One that fails does not stop the others; each has a result of its own.
options:
  backups:
    description: What to dump, and where to.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the database and of its tenant role.
        type: str
        required: true
      folder:
        description: UUID that names the database's folder in the host's store.
        type: str
        required: true
      filename:
        description: Name of the file, C(YYYYMMDD_HHMMSS.sql.gz).
        type: str
        required: true
      store:
        description: V(host) keeps it in the host's store, V(upload) sends it to signed addresses and keeps nothing.
        type: str
        choices: [host, upload]
        default: host
      upload:
        description: Where an upload goes.
        type: dict
        suboptions:
          part_size:
            description: Bytes of each part but the last.
            type: int
            required: true
          part_urls:
            description: Signed addresses of the parts, in order.
            type: list
            elements: str
            required: true
      age_recipients:
        description: Public keys of age. The file is encrypted for all of them.
        type: list
        elements: str
        default: []
  at_once:
    description: How many are dumped side by side.
    type: int
    default: 2
extends_documentation_fragment:
  - dbhost
  - dbhost.dumps
"""

EXAMPLES = r"""
- name: Ensure the backups are begun
  tenant_backups:
    backups:
      - name: shop-a1b2c3
        folder: 0b9b4c3e-6a65-4d43-9d5a-5f3f2f6a7d10
        filename: 20261124_020000.sql.gz
    state_dir: /var/lib/dbhost
    socket_dir: /var/run/postgresql
    bin_dir: /usr/lib/postgresql/17/bin
  no_log: true
  register: begun
"""

RETURN = r"""
job:
  description: Name of what has begun, for M(tenant_job).
  returned: when something has begun
  type: str
predicted:
  description: Why nothing could begin, or the backups that are there already.
  returned: when nothing has begun
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import dump_specs, host_options

try:
    from ansible.module_utils.dbhost import dump_batches, dump_options, jobs
except ImportError:
    dump_batches = None

OPTIONS = {
    "backups": {"type": "list", "elements": "dict", "required": True, "options": dump_specs.BACKUP},
    "at_once": {"type": "int", "default": 2},
    **host_options.CLUSTER,
    **host_options.DUMPS,
}


def begin(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    state_dir, listed, at_once = Path(params["state_dir"]), params["backups"], params["at_once"]
    present = dump_batches.present(state_dir, listed)
    if check or len(present) == len(listed):
        return {"backups": present}
    user = dump_options.dump_user(params)
    return {"job": jobs.start(state_dir, lambda progress: dump_batches.run(state_dir, user, listed, at_once, progress))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if dump_batches is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    found = dump_options.guarded(lambda: begin(module.params, check=module.check_mode))
    if "job" in found:
        module.exit_json(changed=True, job=found["job"])
    missing = len(module.params["backups"]) - len(found.get("backups", []))
    module.exit_json(changed=module.check_mode and missing > 0, predicted=found)


if __name__ == "__main__":
    main()
