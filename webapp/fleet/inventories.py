"""Write the fleet's inventory: the administrator's, for host.yml. The worker's comes from the control database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from webapp.fleet import access, inventory, keys
from webapp.fleet.access import FleetHost
from webapp.fleet.inventory import Login
from webapp.fleet.names import FleetNames
from webapp.fleet.record import Record


def write(names: FleetNames, hosts: list[FleetHost], known: Record) -> Path:
    """Write it; its path."""
    names.control_sockets.mkdir(mode=0o711, exist_ok=True)
    names.control_sockets.chmod(0o711)
    admin = Login(access.ADMIN_USER, True, names.admin_key_file, names.control_sockets)
    worker_key = {"agent_authorized_keys": [keys.public_half(names.worker_key_file)]}
    names.inventory_file.write_text(inventory.as_yaml(hosts, admin, worker_key | variables(names, known)))
    return names.inventory_file


def variables(names: FleetNames, known: Record) -> dict[str, Any]:
    return inventory.for_setting_up(str(known.bridge_address), names.certificates)
