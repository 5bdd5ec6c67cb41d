#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Begin a backup of one tenant database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_backup
short_description: Begin a backup of a tenant database
description:
  - Begins C(pg_dump) as the tenant, by the OS user of dumps, and returns at once. M(tenant_job) says how it goes and
    what came of it.
  - The dump is compressed on the way and counted in the same snapshot. It gets its name only when it is whole.
  - A file of that name that is whole is left as it is and reported again.
  - In check mode nothing begins; RV(predicted) says what would be.
options:
  backup:
    description: What to dump, and where to.
    type: dict
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
extends_documentation_fragment:
  - dbhost
  - dbhost.dumps
"""

EXAMPLES = r"""
- name: Ensure the backup is begun
  tenant_backup:
    backup:
      name: shop-a1b2c3
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
  description: What would be reported, or why nothing could begin.
  returned: when nothing has begun
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import dump_specs, host_options

try:
    from ansible.module_utils.dbhost import dump_files, dump_options, dumping, jobs
except ImportError:
    dumping = None

OPTIONS = {
    "backup": {"type": "dict", "required": True, "options": dump_specs.BACKUP},
    **host_options.CLUSTER,
    **host_options.DUMPS,
}


def begin(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    wanted = dumping.parse(params["backup"])
    state_dir = Path(params["state_dir"])
    folder = state_dir / "backups" / wanted.folder
    found = None if wanted.upload else dump_files.described(folder, wanted.filename)
    if found or check:
        return found or {"manifest": None}
    user = dump_options.dump_user(params)
    return {"job": jobs.start(state_dir, lambda progress: dumping.run(state_dir, user, wanted, progress))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if dumping is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    found = dump_options.guarded(lambda: begin(module.params, check=module.check_mode))
    if "job" in found:
        module.exit_json(changed=True, job=found["job"])
    module.exit_json(changed=module.check_mode and not found.get("size_bytes"), predicted=found)


if __name__ == "__main__":
    main()
