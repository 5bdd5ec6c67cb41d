#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what a database host has that nobody knows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_strangers
short_description: Databases, roles and PgBouncer lines of a host that nobody knows
description:
  - Reads and changes nothing; the same in check mode. What it finds is for a person to decide on.
  - Looks at PostgreSQL as the provisioner, and enters no tenant database.
  - What PostgreSQL made itself, and names that begin with C(dbhost-) or C(dbhost_), are DBHost's own.
options:
  known:
    description: Names of the tenant databases that are to be here; their tenant roles have the same names.
    type: list
    elements: str
    required: true
  state_dir:
    description: Folder of the host's own desired state.
    type: path
    required: true
  config_dir:
    description: Folder of PgBouncer's files.
    type: path
    required: true
attributes:
  check_mode:
    support: full
extends_documentation_fragment:
  - dbhost
"""

EXAMPLES = r"""
- name: Report strangers
  host_strangers:
    known: [shop-a1b2c3]
    state_dir: /var/lib/dbhost
    config_dir: /etc/pgbouncer
    socket_dir: /var/run/postgresql
"""

RETURN = r"""
strangers:
  description: What nobody knows, with where it was found and a sentence. Nothing of it is secret.
  returned: always
  type: list
  elements: dict
  sample:
    - {place: roles, name: helper, message: The role "helper" (may log in) is known to nobody.}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import host_options
from ansible.module_utils.dbhost.errors import TenantError

try:
    import psycopg
    from ansible.module_utils.dbhost import postgres, strangers
except ImportError:
    strangers = None

OPTIONS = {
    "known": {"type": "list", "elements": "str", "required": True},
    "state_dir": {"type": "path", "required": True},
    "config_dir": {"type": "path", "required": True},
    **host_options.CLUSTER,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if strangers is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    given = module.params
    known = frozenset(given["known"])
    try:
        with postgres.connect(postgres.Cluster(given["socket_dir"], given["port"], given["provisioner"])) as connection:
            found = strangers.in_cluster(connection, known)
        found += strangers.in_files(Path(given["config_dir"]), Path(given["state_dir"]), known)
    except TenantError as error:
        module.fail_json(msg=error.message)
    except (psycopg.Error, OSError) as error:
        module.fail_json(msg=f"The host cannot be looked at ({type(error).__name__}).")
    module.exit_json(changed=False, strangers=[one.as_dict() for one in found])


if __name__ == "__main__":
    main()
