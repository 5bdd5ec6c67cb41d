"""Ansible inventories of the hosts that the control database knows: how each is reached, and its role variables.

Nothing in them is secret: they name the file of a private key, never what is in it. A row is taken only if it keeps the
rules that held when the host was added: a name is a pattern to Ansible, an address an argument of ssh, and
variables could say by what program a host is entered.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from webapp.models import Host
from webapp.services import ansible_data, host_rules
from webapp.services.errors import ValidationFailed
from webapp.services.host_keys import check_key, known_hosts_name

AGENT_USER = "dbhost-agent"
GROUP = "database_hosts"
# The places are Debian's, by the roles' own defaults.
PRODUCTION: dict[str, Any] = {
    "ansible_python_interpreter": "/usr/bin/python3",
    "dbhost_service_manager": "systemd",
    "dbhost_agent_user": AGENT_USER,
    "dbhost_state_dir": "/var/lib/dbhost",
    "pgbouncer_reload_command": ["sudo", "-n", "/usr/bin/systemctl", "reload", "pgbouncer.service"],
}
# Only a pinned key counts. A host that lost its power says nothing: ask, or wait for ever.
PINNED = (
    "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=yes",
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)
# Nothing of the person's own configuration or agent.
OWN_KEY_ALONE = ("IdentitiesOnly=yes", "IdentityAgent=none")
# Longer than a pause between two runs, so that the next one finds the connection open.
SHARED = "-o ControlMaster=auto -o ControlPersist=60s"
NOT_SHARED = "-o ControlMaster=no"


log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Login:
    """Who enters the hosts, and by what; without a key file, by whatever the person's own ssh would use.

    Connections are shared between tasks, in *control_sockets* or where Ansible puts them by itself, below the home.
    """

    user: str
    known_hosts_file: Path
    key_file: Path | None = None
    become: bool = False
    control_sockets: Path | None = None
    shared: bool = True

    def variables(self) -> dict[str, Any]:
        """The connection variables that are the same for all hosts."""
        options = [f"UserKnownHostsFile={self.known_hosts_file}", *PINNED]
        own = {} if self.key_file is None else {"ansible_ssh_private_key_file": str(self.key_file)}
        alone = [] if self.key_file is None else [*OWN_KEY_ALONE]
        place = {} if self.control_sockets is None else {"ansible_control_path_dir": str(self.control_sockets)}
        arguments = [part for option in (*options, *alone) for part in ("-o", option)]
        return {
            "ansible_user": self.user,
            "ansible_become": self.become,
            "ansible_ssh_common_args": shlex.join(["-F", "none", *arguments] if own else arguments),
            "ansible_ssh_args": SHARED if self.shared else NOT_SHARED,
            "ansible_ssh_pipelining": True,
            **own,
            **place,
        }


def sound(hosts: Iterable[Host]) -> list[Host]:
    """Those whose rows keep the rules for hosts; the others are left out, so that nothing is done on them."""
    kept = []
    for host in hosts:
        try:
            host_rules.check_host(host)
            ansible_data.as_data(host.variables)
        except (ValidationFailed, ansible_data.NotData) as error:
            log.error("host_left_out", host_id=str(host.id), reason=str(error))  # noqa: TRY400  # the reason says it all
        else:
            kept.append(host)
    return kept


def known_hosts(hosts: Iterable[Host]) -> str:
    """The pinned keys, as a known_hosts file."""
    lines = [
        f"{known_hosts_name(host.address or '', host.ssh_port)} {check_key(key)}\n"
        for host in sound(hosts)
        for key in host.host_keys
    ]
    return "".join(lines)


def variables(host: Host, login: Login, worker_key: str) -> dict[str, Any]:
    """All that a play must know of one host: also what host.yml needs, so that it may be run by hand.

    *worker_key* is the public key that host.yml lets in as the agent.
    """
    return {
        "ansible_host": host.address,
        "ansible_port": host.ssh_port,
        **login.variables(),
        **PRODUCTION,
        "pgbouncer_public_host": host.public_host or host.address,
        "pgbouncer_port": host.pgbouncer_port,
        "pgbouncer_direct_port": host.pgbouncer_direct_port,
        "hardening_ssh_port": host.ssh_port,
        "agent_authorized_keys": [worker_key] if worker_key else [],
        **host.variables,
    }


def public_half(key_file: Path) -> str:
    """The public key beside a private one; empty where there is none to read."""
    public = key_file.with_name(f"{key_file.name}.pub")
    return public.read_text(encoding="utf-8").strip() if public.exists() else ""


def static(hosts: Iterable[Host], login: Login, worker_key: str) -> dict[str, Any]:
    """An inventory as a file's content: JSON is YAML to Ansible."""
    return {GROUP: {"hosts": {host.name: variables(host, login, worker_key) for host in sound(hosts)}}}


def script(hosts: Iterable[Host], login: Login, worker_key: str) -> dict[str, Any]:
    """An inventory as Ansible expects it of a program, with a group for each region. Its variables are data."""
    found = sound(hosts)
    groups: dict[str, Any] = {GROUP: {"hosts": [host.name for host in found]}, "control_plane": {"hosts": []}}
    for host in found:
        groups.setdefault(region_group(host.region), {"hosts": []})["hosts"].append(host.name)
    hostvars = {host.name: ansible_data.as_data(variables(host, login, worker_key)) for host in found}
    return {**groups, "_meta": {"hostvars": hostvars}}


def region_group(region: str) -> str:
    """The group's name: Ansible takes no hyphen in one."""
    return f"region_{region.replace('-', '_')}"
