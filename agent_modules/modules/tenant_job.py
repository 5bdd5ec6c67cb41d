#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a backup or a restore that is under way."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_job
short_description: See how a backup or a restore of a tenant database goes
description:
  - Waits a moment for the end of what M(tenant_backup) or M(tenant_restore) began, and says how far it is.
  - Meant for C(until). What nobody looks at for a minute and a half ends by itself.
options:
  begun:
    description: What the module that began it returned.
    type: dict
    required: true
  result:
    description: Name to return the result under.
    type: str
    required: true
  subject:
    description: What every result has, whether it went well or not.
    type: dict
    default: {}
  state_dir:
    description: Folder of the host's own state.
    type: path
    required: true
  wait_s:
    description: Seconds to wait for the end at most.
    type: float
    default: 2
attributes:
  check_mode:
    support: full
author: DBHost contributors
"""

EXAMPLES = r"""
- name: Report the backup
  tenant_job:
    begun: "{{ begun }}"
    result: backup
    state_dir: /var/lib/dbhost
  register: backup
  until: backup.finished
  retries: 43200
  delay: 0
"""

RETURN = r"""
finished:
  description: Whether it has ended.
  returned: always
  type: bool
bytes_done:
  description: Bytes dumped or loaded so far, uncompressed.
  returned: always
  type: int
bytes_total:
  description: How many there will be, as far as that can be known.
  returned: always
  type: int
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ansible.module_utils.dbhost import dump_options, jobs
except ImportError:
    jobs = None

OPTIONS = {
    "begun": {"type": "dict", "required": True},
    "result": {"type": "str", "required": True},
    "subject": {"type": "dict", "default": {}},
    "state_dir": {"type": "path", "required": True},
    "wait_s": {"type": "float", "default": 2},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if jobs is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    begun, given = module.params["begun"], module.params
    found: dict[str, Any] = {"finished": True, "result": begun.get("predicted") or {}}
    if begun.get("job"):
        found = dump_options.guarded(lambda: jobs.look(Path(given["state_dir"]), begun["job"], given["wait_s"]))
    if "error" in found:
        found = {"finished": True, "result": found}
    told = {"finished": found["finished"], **{key: found.get(key, 0) for key in ("bytes_done", "bytes_total")}}
    if not found["finished"]:
        module.exit_json(changed=False, **told)
    result = {**given["subject"], "error": None, **found["result"]}
    answer = {**told, "changed": bool(begun.get("changed")), given["result"]: result}
    if result["error"]:
        module.fail_json(msg=result["error"]["message"], **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
