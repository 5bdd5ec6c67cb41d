#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the tenant roles and databases of one PostgreSQL cluster what they should be."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_databases
short_description: Converge tenant roles and databases
description:
  - Makes each database of the list, and the tenant role of the same name, what the list says. Others are left alone.
  - Works as a role with C(LOGIN CREATEROLE CREATEDB) and C(pg_signal_backend), by the local socket; never a superuser.
  - A tenant owns the schema C(public) of its database, not the database. It cannot connect before all else is done.
  - Each database is converged on its own; one that fails does not stop the rest, and does not fail the module.
  - Needs psycopg 3.1 or newer and PostgreSQL 16 or newer on the host.
options:
  login_host:
    description: Loopback address at which tenant roles log in to PostgreSQL; their salts are read there.
    type: str
    default: 127.0.0.1
extends_documentation_fragment:
  - dbhost
  - dbhost.tenants
"""

EXAMPLES = r"""
- name: Ensure the shop's database
  tenant_databases:
    databases:
      - name: shop-a1b2c3
        verifier: "{{ shop_verifier }}"
    state_dir: /var/lib/dbhost
    socket_dir: /var/run/postgresql
  no_log: true
"""

RETURN = r"""
databases:
  description: For each database what was changed (in check mode, what would be), what to look at, and the error.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: shop-a1b2c3, generation: 42, state: present, changed: true, changes: ["…"], notes: [], error: null}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import host_options, items

try:
    from ansible.module_utils.dbhost import converging
except ImportError:
    converging = None

OPTIONS = {
    "databases": {"type": "list", "elements": "dict", "required": True, "options": items.ITEM_OPTIONS},
    "allow_reserved": {"type": "bool", "default": False},
    "state_dir": {"type": "path", "required": True},
    "login_host": {"type": "str", "default": "127.0.0.1"},
    **host_options.CLUSTER,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if converging is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    wanted, refused = items.parse_all(module.params["databases"], allow_reserved=module.params["allow_reserved"])
    target = converging.target(module.params)
    state_dir = Path(module.params["state_dir"])
    results = items.guarded(wanted, lambda: converging.run(state_dir, target, wanted, check=module.check_mode))
    found = [result.as_dict() for result in [*results, *refused]]
    module.exit_json(changed=any(item["changed"] for item in found), databases=found)


if __name__ == "__main__":
    main()
