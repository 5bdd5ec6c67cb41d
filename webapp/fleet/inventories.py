"""Write the fleet's two inventories: the administrator's, for host.yml, and the worker's, for all else."""

from __future__ import annotations

from pathlib import Path

from webapp.fleet import access, inventory, keys
from webapp.fleet.access import FleetHost
from webapp.fleet.inventory import Login
from webapp.fleet.names import FleetNames
from webapp.fleet.record import Record


def write(names: FleetNames, hosts: list[FleetHost], known: Record) -> Path:
    """Write both; the administrator's path."""
    names.control_sockets.mkdir(mode=0o711, exist_ok=True)
    names.control_sockets.chmod(0o711)
    names.worker_inventory_file.parent.mkdir(parents=True, exist_ok=True)
    admin = Login(access.ADMIN_USER, True, names.admin_key_file, names.control_sockets)
    worker = Login(inventory.AGENT_USER, False, names.worker_key_file, names.worker_control_sockets)
    public_key = keys.public_half(names.worker_key_file)
    setting_up = inventory.for_setting_up(public_key, str(known.bridge_address), names.certificates)
    names.inventory_file.write_text(inventory.as_yaml(hosts, admin, setting_up))
    names.worker_inventory_file.write_text(inventory.as_yaml(hosts, worker, {}))
    return names.inventory_file
