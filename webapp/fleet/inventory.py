"""Ansible inventories of the fleet, as an operator would write them for rented servers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from webapp.fleet.access import FleetHost, ssh_options
from webapp.services.inventory import PRODUCTION

# Longer than a pause between two playbooks, so that the next one finds the connection open.
PERSIST = "-o ControlMaster=auto -o ControlPersist=60s"
GROUP = "fleet"  # below database_hosts, so that what is said here leaves other hosts of an inventory alone
ADDRESS = {"pgbouncer_public_host": "{{ ansible_host }}"}
MEMORY_MAX_MB = 1024  # hosts share the machine's memory, and each sees all of it


@dataclass(frozen=True)
class Login:
    """Who enters the hosts, how, and where OpenSSH keeps the connections that are shared."""

    user: str
    become: bool
    key_file: Path
    control_sockets: Path

    def variables(self, known_hosts_file: Path) -> dict[str, Any]:
        return {
            "ansible_user": self.user,
            "ansible_become": self.become,
            "ansible_ssh_private_key_file": str(self.key_file),
            "ansible_ssh_common_args": f"-F none {shlex.join(ssh_options(known_hosts_file))}",
            "ansible_ssh_args": PERSIST,
            "ansible_control_path_dir": str(self.control_sockets),
            "ansible_ssh_pipelining": True,
        }


def as_yaml(hosts: Iterable[FleetHost], login: Login, extra: dict[str, Any]) -> str:
    """The inventory's text: group `database_hosts`, pinned host keys, pipelining, one shared connection a host."""
    group: dict[str, Any] = {"hosts": {}, "vars": {}}
    for host in hosts:
        group["hosts"][host.name] = {"ansible_host": host.address, "ansible_port": host.ssh_port}
        group["vars"] = {**login.variables(host.known_hosts_file), **PRODUCTION, **ADDRESS, **extra}
    tree = {"all": {"children": {"database_hosts": {"children": {GROUP: group}}}}}
    return str(yaml.safe_dump(tree, sort_keys=False, width=1000))


def for_setting_up(worker_address: str, certificates: Path) -> dict[str, Any]:
    """What host.yml must know besides: where the worker is, the certificates, that Debian's PgBouncer will do here."""
    return {
        "agent_allowed_from": [worker_address],
        "postgres_memory_max_mb": MEMORY_MAX_MB,
        "pgbouncer_allow_older": True,
        "pgbouncer_tls_cert_source": f"{certificates}/{{{{ inventory_hostname }}}}.crt",
        "pgbouncer_tls_key_source": f"{certificates}/{{{{ inventory_hostname }}}}.key",
    }
