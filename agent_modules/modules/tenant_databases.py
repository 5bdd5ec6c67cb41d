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
  databases:
    description: The databases to converge.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the database and of its tenant role; 3 to 50 small letters, digits and hyphens.
        type: str
        required: true
      generation:
        description:
          - Version of this desired state. One that is older than the host has seen is refused.
          - Without it, nothing is refused, as for a file that an operator keeps by hand.
        type: int
      state:
        description:
          - V(stopped) keeps the data and lets nobody in. V(absent) drops the database and its role.
          - V(closed) cuts clients and lets none in, and the OS user of dumps still gets in.
        type: str
        choices: [present, stopped, closed, absent]
        default: present
      verifier:
        description: SCRAM-SHA-256 secret of the tenant role's password. Needed unless O(databases[].state=absent).
        type: str
      connection_limit:
        description: CONNECTION LIMIT of the role and of the database.
        type: int
        default: 40
      pool_size:
        description: For M(pgbouncer_tenants); not looked at here.
        type: int
        default: 20
      pool_mode:
        description: For M(pgbouncer_tenants); not looked at here.
        type: str
        choices: [transaction, session]
        default: transaction
      networks:
        description: For M(pgbouncer_tenants); not looked at here.
        type: list
        elements: str
        default: []
      disconnect:
        description: For M(pgbouncer_tenants); not looked at here.
        type: bool
        default: false
      repair_ownership:
        description: Give objects in the database that other roles own to the tenant role, where the provisioner may.
        type: bool
        default: false
      held_as:
        description:
          - Of an absent database, the name (C(dbhost-held-) and 16 hexadecimal digits) under which it is kept aside for
            its last backup instead of being dropped. Drop it by that name afterwards.
          - Of any other, bring back what is kept aside under this name, if the database is not there.
        type: str
      read_only:
        description:
          - Transactions in the database begin read-only, for every role; C(BEGIN READ WRITE) still writes, so that a
            full database can be emptied. Sessions keep what they began with, so disconnect them once.
        type: bool
        default: false
      members:
        description:
          - Roles of people's own, each named by the database's name, a dot and 8 small letters or digits.
          - Admins and developers work as the tenant role, viewers read what it has. Roles that are not listed go.
        type: list
        elements: dict
        default: []
        suboptions:
          role:
            description: Name of the role.
            type: str
            required: true
          level:
            description: What the member may do.
            type: str
            choices: [admin, developer, viewer]
            required: true
          verifier:
            description: SCRAM-SHA-256 secret of the role's password.
            type: str
            required: true
  allow_reserved:
    description: Let in the reserved name of the control plane's own database.
    type: bool
    default: false
  state_dir:
    description: Folder of the host's own desired state and of its lock.
    type: path
    required: true
  socket_dir:
    description: Folder of PostgreSQL's socket.
    type: path
    required: true
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  login_host:
    description: Loopback address at which tenant roles log in to PostgreSQL; their salts are read there.
    type: str
    default: 127.0.0.1
  provisioner:
    description: The role that does the work.
    type: str
    default: dbhost_provisioner
author: DBHost contributors
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
from ansible.module_utils.dbhost import items

try:
    from ansible.module_utils.dbhost import converging
except ImportError:
    converging = None

OPTIONS = {
    "databases": {"type": "list", "elements": "dict", "required": True, "options": items.ITEM_OPTIONS},
    "allow_reserved": {"type": "bool", "default": False},
    "state_dir": {"type": "path", "required": True},
    "socket_dir": {"type": "path", "required": True},
    "port": {"type": "int", "default": 5432},
    "login_host": {"type": "str", "default": "127.0.0.1"},
    "provisioner": {"type": "str", "default": "dbhost_provisioner"},
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
