#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write into the host's journal who changed tenant databases by playbook."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_journal
short_description: Note who changed tenant databases by playbook
description:
  - Appends one line for each database that was changed, or failed, to C(journal.jsonl); nothing else writes there.
  - The last task of C(databases.yml) calls it, unless whoever runs the playbook keeps a record of their own.
  - Reports no change, since the host is as it was. In check mode it writes nothing.
options:
  state_dir:
    description: Folder of the host's own state.
    type: path
    required: true
  who:
    description: Who ran the playbook, as known where it was run.
    type: str
    required: true
  playbook:
    description: Name of the playbook.
    type: str
    required: true
  databases:
    description: What the playbook reports of each database, which holds no secret.
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    support: full
author: DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure that the change is in the journal
  host_journal:
    state_dir: /var/lib/dbhost
    who: alice@laptop
    playbook: databases.yml
    databases: "{{ report.databases }}"
"""

RETURN = r"""
entries:
  description: How many lines were written.
  returned: always
  type: int
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dbhost import journal

OPTIONS = {
    "state_dir": {"type": "path", "required": True},
    "who": {"type": "str", "required": True},
    "playbook": {"type": "str", "required": True},
    "databases": {"type": "list", "elements": "dict", "required": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    given = module.params
    told = [item for item in given["databases"] if item.get("changes") or item.get("error")]
    entries = [journal.entry(given["who"], given["playbook"], item) for item in told]
    if entries and not module.check_mode:
        try:
            journal.append(Path(given["state_dir"]), entries)
        except OSError as error:
            module.fail_json(msg=f"The host's journal cannot be written ({type(error).__name__}).")
    module.exit_json(changed=False, entries=len(entries))


if __name__ == "__main__":
    main()
