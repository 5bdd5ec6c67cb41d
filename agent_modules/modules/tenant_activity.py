#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""See whether anything was written in a tenant database since a dump of it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_activity
short_description: See whether anything was written in a tenant database
description:
  - Reads PostgreSQL's counters of writes and the database's sequences, as the tenant. The same fingerprint as in the
    manifest of a dump says that nothing was written since the dump's snapshot, provided that no session is there.
  - A different one says that something may have been, or that PostgreSQL was started anew.
  - Changes nothing.
options:
  name:
    description: Name of the database and of its tenant role.
    type: str
    required: true
extends_documentation_fragment:
  - dbhost
  - dbhost.dumps
"""

EXAMPLES = r"""
- name: Report the activity
  tenant_activity:
    name: shop-a1b2c3
    state_dir: /var/lib/dbhost
    socket_dir: /var/run/postgresql
    bin_dir: /usr/lib/postgresql/17/bin
"""

RETURN = r"""
activity:
  description: The fingerprint, and the sessions of others in the database, whose writes may not be counted yet.
  returned: always
  type: dict
  sample: {name: shop-a1b2c3, sessions: 0, activity: "5f70bf18a086007016e948b04aed3b82103a36be4175…", error: null}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import host_options

try:
    from ansible.module_utils.dbhost import activity, dump_options, names
except ImportError:
    activity = None

OPTIONS = {"name": {"type": "str", "required": True}, **host_options.CLUSTER, **host_options.DUMPS}


def read(params: dict[str, Any]) -> dict[str, Any]:
    names.require(params["name"])
    found: dict[str, Any] = activity.read(dump_options.dump_user(params), params["name"])
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if activity is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    found = dump_options.guarded(lambda: read(module.params))
    told = {"name": module.params["name"], "sessions": None, "activity": None, **found}
    if told["error"]:
        module.fail_json(msg=told["error"]["message"], activity=told)
    module.exit_json(changed=False, activity=told)


if __name__ == "__main__":
    main()
