#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give a cluster its provisioner, close its own databases, and put the files on disk in force."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_installer
short_description: Give a cluster its provisioner, and put its configuration in force
description:
  - The one module that works as the superuser, over the local socket.
  - Makes the role that makes tenant databases, and takes the rights of everyone from the cluster's own databases.
  - Makes the template of tenant databases, and takes the making of large objects from PUBLIC, once in each database.
  - Makes the view C(pg_stat_statements) there, which shows each tenant the statements of its own database.
  - Has each database signal when its schema changes, to the program that tells PgBouncer.
  - Reloads the configuration when a file is newer than what is loaded.
  - Waits for a server that is still starting.
options:
  socket_dir:
    description: Folder of the unix socket.
    type: path
    required: true
  port:
    description: Number of the socket.
    type: int
    required: true
  data_dir:
    description: The cluster's folder.
    type: path
    required: true
  config_dir:
    description: Folder of the configuration and the access rules; O(data_dir) by default.
    type: path
  os_user:
    description: OS user mapped to the superuser. Root acts as it.
    type: str
    required: true
  superuser:
    description: Name of the superuser.
    type: str
    default: postgres
  provisioner:
    description: Name of the role that makes tenant roles and databases.
    type: str
    default: dbhost_provisioner
  timeout_s:
    description: Seconds to wait for a starting server.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
requirements:
  - psycopg >= 3.1
author:
  - DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure the provisioner exists and the rules are in force
  postgres_installer:
    socket_dir: /run/postgresql
    port: 5432
    data_dir: /var/lib/postgresql/17/main
    os_user: postgres
  register: installed
"""

RETURN = r"""
changes:
  description: The statements that ran, or would in check mode.
  type: list
  elements: str
  returned: always
restart_needed:
  description: A loaded setting waits for a new start of the server.
  type: bool
  returned: always
"""

import time
from pathlib import Path
from typing import Any

import psycopg
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dbhost import installation, os_user

FILES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")


def connect(params: dict[str, Any], database: str = "postgres") -> psycopg.Connection:
    """A superuser's connection; waits while the server starts, and raises psycopg.OperationalError after that."""
    deadline = time.monotonic() + params["timeout_s"]
    while True:
        try:
            return psycopg.connect(
                host=params["socket_dir"],
                port=params["port"],
                user=params["superuser"],
                dbname=database,
                options="-c search_path= -c statement_timeout=60s -c lock_timeout=10s",
                application_name="dbhost installer",
                connect_timeout=5,
                autocommit=True,
            )
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def install(conn: psycopg.Connection, params: dict[str, Any], *, check: bool) -> list[str]:
    folder = Path(params["config_dir"] or params["data_dir"])
    files_changed_at = max((folder / name).stat().st_mtime for name in FILES)
    wanted = installation.changes(
        installation.observe(conn, params["provisioner"]), params["provisioner"], files_changed_at
    )
    if not check:
        for change in wanted:
            conn.execute(change)
    prepared = installation.prepare_databases(
        conn, params["provisioner"], lambda name: connect(params, name), check=check
    )
    return [*(change.as_string(conn) for change in wanted), *prepared]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "socket_dir": {"type": "path", "required": True},
            "port": {"type": "int", "required": True},
            "data_dir": {"type": "path", "required": True},
            "config_dir": {"type": "path"},
            "os_user": {"type": "str", "required": True},
            "superuser": {"type": "str", "default": "postgres"},
            "provisioner": {"type": "str", "default": "dbhost_provisioner"},
            "timeout_s": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not (Path(module.params["data_dir"]) / "postmaster.pid").exists():
        module.exit_json(changed=True, changes=["the installation of a new cluster"], restart_needed=False)
    try:
        with os_user.acting_as(module.params["os_user"]), connect(module.params) as conn:
            changes = install(conn, module.params, check=module.check_mode)
            restart = installation.restart_needed(conn, reloaded=bool(changes))
    except psycopg.Error as error:
        module.fail_json(msg=f"PostgreSQL could not be set up: {str(error).strip()}")
    module.exit_json(changed=bool(changes), changes=changes, restart_needed=restart)


if __name__ == "__main__":
    main()
