"""An Ansible inventory of the fleet, as an operator would write it for rented servers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from webapp.fleet.access import ADMIN_USER, FleetHost, ssh_options

# Longer than a pause between two playbooks, so that the next one finds the connection open.
PERSIST = "-o ControlMaster=auto -o ControlPersist=60s"


def as_yaml(hosts: Iterable[FleetHost], control_sockets: Path) -> str:
    """The inventory's text: group `database_hosts`, pinned host keys, pipelining, one shared connection a host."""
    group: dict[str, Any] = {"hosts": {}, "vars": {}}
    for host in hosts:
        group["hosts"][host.name] = {"ansible_host": host.address, "ansible_port": host.ssh_port}
        group["vars"] = _connection(host, control_sockets)
    return str(yaml.safe_dump({"all": {"children": {"database_hosts": group}}}, sort_keys=False))


def _connection(host: FleetHost, control_sockets: Path) -> dict[str, Any]:
    return {
        "ansible_user": ADMIN_USER,
        "ansible_become": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(host.ssh_key_file),
        "ansible_ssh_common_args": f"-F none {shlex.join(ssh_options(host.known_hosts_file))}",
        "ansible_ssh_args": PERSIST,
        "ansible_control_path_dir": str(control_sockets),
        "ansible_ssh_pipelining": True,
    }
