#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say how a database host is: versions, disk, memory, load, sizes, clients, certificate."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_report
short_description: Figures of a database host and of each tenant database on it
description:
  - Reads and changes nothing; the same in check mode.
  - Looks at PostgreSQL as the provisioner, and enters no tenant database. Sizes are those of the databases it owns.
  - Looks at PgBouncer by the console that its own OS user has over its closed socket, with C(SHOW) alone. Root acts as
    the owner of that socket's folder. Where PgBouncer's OS user is another, by a command that gives figures alone.
  - Of clients it keeps how many there are and when the newest came, neither who nor from where, and no query.
  - A part that cannot be had is null and named in C(problems); the module does not fail for it.
options:
  data_dir:
    description: Folder on the filesystem that holds the data.
    type: path
    required: true
  wal_dir:
    description: Folder on the filesystem that holds the write-ahead log. By default that of the data.
    type: path
  pgbouncer_socket_dir:
    description: Folder of PgBouncer's socket, which only its own OS user may enter.
    type: path
    required: true
  pgbouncer_port:
    description: Port of PgBouncer, at which the certificate is looked at too.
    type: int
    default: 6432
  pgbouncer_direct_port:
    description: Port of PgBouncer's direct door. By default there is none to look at.
    type: int
  pgbouncer_figures_command:
    description: Command that prints PgBouncer's figures as JSON, where its console is closed to whoever runs this.
    type: list
    elements: str
    default: []
  certificate_problem_file:
    description: File with the reason why a renewed certificate is not shown, where there is one.
    type: path
  certificate_files:
    description: The certificate and the key that PgBouncer reads when it starts.
    type: list
    elements: path
    default: []
  journal_dir:
    description: Folder of the host's journal; without it the journal is not read.
    type: path
  journal_after:
    description: Where to begin in the journal, as RV(report.journal.read_to) said the last time.
    type: int
    default: 0
attributes:
  check_mode:
    support: full
extends_documentation_fragment:
  - dbhost
"""

EXAMPLES = r"""
- name: Report the host
  host_report:
    socket_dir: /var/run/postgresql
    data_dir: /var/lib/postgresql
    pgbouncer_socket_dir: /run/pgbouncer
"""

RETURN = r"""
report:
  description: The figures. Counters (transactions, blocks) count from the last restart of the program that counts.
  returned: always
  type: dict
  sample:
    sampled_at: "2026-11-24T10:00:00Z"
    system: Debian GNU/Linux 13 (trixie)
    disks: [{purpose: data, path: /var/lib/postgresql, total_bytes: 1, free_bytes: 1}]
    memory: {total_bytes: 1, available_bytes: 1}
    load: {one: 0.1, five: 0.1, fifteen: 0.1, processors: 2}
    certificate_begins_at: "2026-10-01T00:00:00Z"
    certificate_expires_at: "2027-01-01T00:00:00Z"
    postgres: {version: "18.0", max_connections: 400, connections: 9, started_at: "2026-11-01T00:00:00Z"}
    pgbouncer: {version: 1.24.1, max_clients: 4000, clients_active: 1, clients_waiting: 0, longest_wait_s: 0}
    pgbouncer_direct: {version: 1.24.1, max_clients: 160, clients_active: 1, clients_waiting: 0, longest_wait_s: 0}
    databases:
      - name: shop-a1b2c3
        size_bytes: 7500000
        clients_active: 1
        clients_waiting: 0
        direct_clients: 1
        last_connection_at: "2026-11-24T09:00:00Z"
        transactions: 12
        server_connections: 1
        commits: 12
        rollbacks: 0
        blocks_hit: 100
        blocks_read: 3
        deadlocks: 0
        temp_bytes: 0
    journal: {read_to: 181, entries: [{who: alice@laptop, database: shop-a1b2c3, changes: ["…"]}]}
    problems: [{part: certificate, message: It cannot be read (ConnectionRefusedError).}]
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import host_options

try:
    from ansible.module_utils.dbhost import host_figures, postgres
except ImportError:
    host_figures = None

OPTIONS = {
    **host_options.CLUSTER,
    "data_dir": {"type": "path", "required": True},
    "wal_dir": {"type": "path"},
    "pgbouncer_socket_dir": {"type": "path", "required": True},
    "pgbouncer_port": {"type": "int", "default": 6432},
    "pgbouncer_direct_port": {"type": "int"},
    "pgbouncer_figures_command": {"type": "list", "elements": "str", "default": []},
    "certificate_problem_file": {"type": "path"},
    "certificate_files": {"type": "list", "elements": "path", "default": []},
    "journal_dir": {"type": "path"},
    "journal_after": {"type": "int", "default": 0},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if host_figures is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    given = module.params
    host = host_figures.Host(
        cluster=postgres.Cluster(given["socket_dir"], given["port"], given["provisioner"]),
        data_dir=given["data_dir"],
        wal_dir=given["wal_dir"] or given["data_dir"],
        pgbouncer_socket_dir=given["pgbouncer_socket_dir"],
        pgbouncer_port=given["pgbouncer_port"],
        pgbouncer_direct_port=given["pgbouncer_direct_port"],
        pgbouncer_figures_command=given["pgbouncer_figures_command"],
        certificate_problem_file=given["certificate_problem_file"],
        certificate_files=given["certificate_files"],
        journal_dir=given["journal_dir"],
        journal_after=given["journal_after"],
    )
    module.exit_json(changed=False, report=host_figures.report(host))


if __name__ == "__main__":
    main()
