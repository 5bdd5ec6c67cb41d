#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make PgBouncer let in the clients of tenant databases, or shut them out."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pgbouncer_tenants
short_description: Converge PgBouncer's entries of tenant databases
description:
  - Renders each listener's file of databases, C(hba.conf) and C(userlist.txt) whole, from the host's own desired state
    and the list.
  - Proves the files on a PgBouncer of its own before it puts them in place, reloads every listener once for the whole
    list, and then watches what each of them serves. When sessions must be cut it reloads once more, so that nobody new
    comes in while they are, and once more again where clients may come back.
  - Sessions are cut when a verifier changes, when the networks get narrower, and for O(databases[].disconnect).
  - A member's role that is listed no more loses its lines alone. PostgreSQL has ended its sessions by then, and no
    client that is still inside gets another one.
  - A line of the userlist is never taken out while PgBouncer lives; it becomes a tombstone, whose password is unknown.
  - One database that fails does not stop the rest, and does not fail the module.
options:
  except:
    description: Names in the list to leave as they are, because their databases are not ready.
    type: list
    elements: str
    default: []
  config_dir:
    description: Folder of PgBouncer's files.
    type: path
    required: true
  executable:
    description: PgBouncer's program.
    type: path
    default: /usr/sbin/pgbouncer
  socket_dir:
    description:
      - Folder of PgBouncer's socket, which only its own OS user may enter. Salts are read there.
      - Without it they are read over TLS at 127.0.0.1, which fails for databases whose networks leave that out.
    type: path
  listeners:
    description:
      - PgBouncer's processes. Without any there is one, at O(port).
      - Of those after the first, one without its O(listeners[].ini) is left out, and each database's notes say so.
    type: list
    elements: dict
    suboptions:
      name:
        description: What messages call it.
        type: str
        required: true
      ini:
        description: Its own configuration file in O(config_dir).
        type: str
        required: true
      databases_file:
        description: Its file of databases in O(config_dir), called C(databases*.ini), which the module writes.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
      kind:
        description:
          - V(pooled) shares O(databases[].pool_size) server connections in O(databases[].pool_mode).
          - V(direct) gives each client a server connection of its own, O(databases[].direct_pool_size) of them.
        type: str
        choices: [pooled, direct]
        default: pooled
      serves:
        description: Which databases it lets clients into. V(tenants) leaves out the control plane's own.
        type: str
        choices: [all, tenants]
        default: all
      pidfile:
        description: Whose process gets SIGHUP. Needed unless O(listeners[].reload_command) is given.
        type: path
      reload_command:
        description: Command that makes it reload, such as V([systemctl, reload, pgbouncer]).
        type: list
        elements: str
        default: []
  port:
    description: Port of PgBouncer, where it is one process.
    type: int
    default: 6432
  pidfile:
    description: As O(listeners[].pidfile), for O(port).
    type: path
  reload_command:
    description: As O(listeners[].reload_command), for O(port).
    type: list
    elements: str
    default: []
  postgres_host:
    description: Loopback address at which PgBouncer finds PostgreSQL.
    type: str
    default: 127.0.0.1
  postgres_port:
    description: Port at which PgBouncer finds PostgreSQL.
    type: int
    default: 5432
author: DBHost contributors
extends_documentation_fragment:
  - dbhost.tenants
"""

EXAMPLES = r"""
- name: Ensure the shop's clients get in
  pgbouncer_tenants:
    databases:
      - name: shop-a1b2c3
        verifier: "{{ shop_verifier }}"
        networks: [203.0.113.0/24]
    state_dir: /var/lib/dbhost
    config_dir: /etc/pgbouncer
    socket_dir: /run/pgbouncer
    reload_command: [systemctl, reload, pgbouncer]
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
changes:
  description: What was wrong with the files as a whole.
  returned: always
  type: list
  elements: str
differences:
  description: The files without secrets, before and after, in the form that Ansible shows for C(--diff).
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dbhost import items, listeners, publishing
from ansible.module_utils.dbhost.results import Result

OPTIONS = {
    "databases": {"type": "list", "elements": "dict", "required": True, "options": items.ITEM_OPTIONS},
    "except": {"type": "list", "elements": "str", "default": []},
    "allow_reserved": {"type": "bool", "default": False},
    "state_dir": {"type": "path", "required": True},
    "config_dir": {"type": "path", "required": True},
    "executable": {"type": "path", "default": "/usr/sbin/pgbouncer"},
    "socket_dir": {"type": "path"},
    "listeners": {"type": "list", "elements": "dict", "options": listeners.OPTIONS},
    "port": {"type": "int", "default": 6432},
    "pidfile": {"type": "path"},
    "reload_command": {"type": "list", "elements": "str", "default": []},
    "postgres_host": {"type": "str", "default": "127.0.0.1"},
    "postgres_port": {"type": "int", "default": 5432},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        OPTIONS, supports_check_mode=True, required_one_of=[("listeners", "pidfile", "reload_command")]
    )
    listed = [item for item in module.params["databases"] if item["name"] not in module.params["except"]]
    wanted, refused = items.parse_all(listed, allow_reserved=module.params["allow_reserved"])
    host = publishing.host(module.params)
    outcome = publishing.Outcome([])

    def work() -> list[Result]:
        nonlocal outcome
        outcome = publishing.run(host, wanted, check=module.check_mode)
        return list(outcome.results)

    found = [result.as_dict() for result in [*items.guarded(wanted, work), *refused]]
    module.exit_json(
        changed=bool(outcome.changes) or any(item["changed"] for item in found),
        databases=found,
        changes=outcome.changes,
        differences=outcome.differences(),
    )


if __name__ == "__main__":
    main()
