"""A fleet of hosts beside the embedded control plane (`up --hosts N`), and what the worker needs to reach them."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from webapp.embedded import control, playbooks, users
from webapp.embedded.environment import Stack
from webapp.embedded.progress import Progress

if TYPE_CHECKING:
    from webapp.fleet import Fleet, FleetHost

REGION = "this-machine"


def has_any(stack: Stack) -> bool:
    """Whether an `up --hosts` made some; most stacks have none, and can do without half a second of imports."""
    return (stack.home / "fleet").exists()


def fleet_of(stack: Stack, **options: Any) -> Fleet:
    """The machines of this home."""
    from webapp.fleet import Fleet

    return Fleet(stack.home, **options)


def known(stack: Stack) -> list[FleetHost]:
    """The hosts that an earlier `up` made for this home."""
    return fleet_of(stack).hosts() if has_any(stack) else []


def up(stack: Stack, count: int, progress: Progress) -> list[FleetHost]:
    """Have *count* hosts, made database hosts by playbooks/host.yml, with a way in for the worker."""
    fleet = fleet_of(stack, with_packages=True, progress=progress.detail)
    stack.home.mkdir(parents=True, exist_ok=True)
    with progress.step(f"Boot {count} hosts"):
        hosts = fleet.up(count)
    if users.missing():
        with progress.step("Make the system users"):
            users.ensure()
    (stack.home / "logs").mkdir(exist_ok=True)
    with progress.step("Converge the hosts (playbooks/host.yml)"):
        playbooks.run_on(stack, progress, "host", fleet.write_inventory(), [host.name for host in hosts])
    let_the_worker_in(stack, fleet)
    return hosts


def let_the_worker_in(stack: Stack, fleet: Fleet) -> None:
    """Give the worker's OS user, and nobody else, the key."""
    agent = pwd.getpwnam(stack.agent_user)
    fleet.worker_key_file.chmod(0o600)
    os.chown(fleet.worker_key_file, agent.pw_uid, agent.pw_gid)


def register(stack: Stack, environ: Mapping[str, str], hosts: list[FleetHost]) -> None:
    """Tell the control plane of the hosts; new databases then go to them and no longer to the embedded one."""
    fleet = fleet_of(stack)
    listed = [described(stack, host, fleet.variables()) for host in hosts]
    control.run(stack, environ, "ensure-hosts", json.dumps(listed))


def described(stack: Stack, host: FleetHost, variables: dict[str, Any]) -> dict[str, Any]:
    """The host as `dbhost host add` would describe it; clients on this machine find the authority's certificate."""
    pinned = [line.split(" ", 1) for line in host.known_hosts_file.read_text().splitlines()]
    return {
        "name": host.name,
        "address": host.address,
        "ssh_port": host.ssh_port,
        "host_keys": [key for address, key in pinned if address == host.address],
        "region": REGION,
        "tls_root": str(stack.ca_file),
        "variables": named(variables, host.name),
    }


def named(variables: dict[str, Any], name: str) -> dict[str, Any]:
    """*variables* of one host: what its group says of every host's own name is said."""
    return {
        key: value.replace("{{ inventory_hostname }}", name) if isinstance(value, str) else value
        for key, value in variables.items()
    }


def status(stack: Stack) -> list[dict[str, Any]]:
    """The `hosts` of `status --json`."""
    return [
        {"name": host.name, "address": host.address, "state": "running" if host.running else "stopped"}
        for host in (fleet_of(stack).status() if has_any(stack) else [])
    ]


def down(stack: Stack, progress: Progress, *, purge: bool) -> None:
    """Shut the hosts down; with *purge* their disks, keys and image go too."""
    if not has_any(stack):
        return
    fleet = fleet_of(stack, progress=progress.detail)
    with progress.step("Remove the hosts" if purge else "Stop the hosts"):
        fleet.down(purge=purge)
        if purge:
            shutil.rmtree(fleet.folder)
