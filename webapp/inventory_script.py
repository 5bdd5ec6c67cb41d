"""What inventory/dbhost.py prints: `--list` for all hosts, `--host NAME` for one."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
import yaml

from webapp import inventory_files
from webapp.cli.session import control_session
from webapp.config import settings
from webapp.embedded.environment import CHECKOUT, Stack, load
from webapp.models import Host
from webapp.services import host_details, inventory
from webapp.services.hosts import EMBEDDED
from webapp.services.inventory import Login

LOCAL = CHECKOUT / "inventory" / "local" / "hosts.yml"


def main(arguments: Sequence[str]) -> None:
    """Print the inventory; a sentence on standard error and exit code 1 when the control database cannot be read."""
    parser = argparse.ArgumentParser(prog="inventory/dbhost.py")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--list", action="store_true")
    asked.add_argument("--host", metavar="NAME")
    options = parser.parse_args(arguments)
    try:
        made = build()
    except click.ClickException as error:
        sys.exit(f"inventory/dbhost.py: {error.message}")
    shown = made if options.list else made["_meta"]["hostvars"].get(options.host, {})
    print(json.dumps(shown, indent=2))


def build() -> dict[str, Any]:
    """The inventory as of now. Writes the pinned keys to where it says they are."""
    with control_session() as session:
        rows = [details.host for details in host_details.list_hosts(session)]
    by_ssh = [host for host in rows if host.address is not None]
    key_file = settings().worker_key
    known_hosts = key_file.parent / inventory_files.KNOWN_HOSTS
    inventory_files.replace(known_hosts, inventory.known_hosts(by_ssh))
    login = Login(inventory.AGENT_USER, known_hosts, key_file)
    made = inventory.script(by_ssh, login, inventory.public_half(key_file))
    for host in rows:
        if host.name == EMBEDDED:
            add_embedded(made, host, load(os.environ))
    return made


def add_embedded(made: dict[str, Any], host: Host, stack: Stack) -> None:
    """The embedded host as inventory/local has it, with the places of this stack."""
    [variables] = yaml.safe_load(LOCAL.read_text(encoding="utf-8"))["database_hosts"]["hosts"].values()
    places = {
        "dbhost_checkout": str(CHECKOUT),
        "dbhost_home": str(stack.home),
        "dbhost_socket_dir": str(stack.socket_dir),
        "postgres_port": stack.postgres_port,
        "pgbouncer_port": stack.pgbouncer_port,
        "pgbouncer_direct_port": stack.direct_port,
        "pgbouncer_public_host": stack.public_host,
    }
    for group in (inventory.GROUP, "control_plane", inventory.region_group(host.region)):
        made.setdefault(group, {"hosts": []})["hosts"].append(host.name)
    made["_meta"]["hostvars"][host.name] = variables | places
