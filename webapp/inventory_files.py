"""Write inventories of hosts that are reached by SSH, with their pinned keys, for Ansible and OpenSSH to read."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from webapp.models import Host
from webapp.services import ansible_data, inventory
from webapp.services.inventory import Login

INVENTORY = "hosts.json"
KNOWN_HOSTS = "known_hosts"


def for_agent(folder: Path, hosts: Sequence[Host], worker_key_file: Path, control_sockets: Path | None = None) -> Path:
    """An inventory in *folder* by which the worker's key enters; its path. Written only when it changed.

    Connections are shared between tasks where there is a folder for their sockets.
    """
    shared = control_sockets is not None
    known_hosts = folder / KNOWN_HOSTS
    login = Login(inventory.AGENT_USER, known_hosts, worker_key_file, control_sockets=control_sockets, shared=shared)
    return write(folder, hosts, login, worker_key_file)


def write(folder: Path, hosts: Sequence[Host], login: Login, worker_key_file: Path) -> Path:
    """The inventory for *login* and the pinned keys beside it, each whole or not at all."""
    content = inventory.static(hosts, login, inventory.public_half(worker_key_file))
    replace(folder / KNOWN_HOSTS, inventory.known_hosts(hosts))
    replace(folder / INVENTORY, ansible_data.as_document(content))
    return folder / INVENTORY


def replace(path: Path, content: str) -> None:
    """Have *content* in *path*, readable to all: runs side by side read it while it is written anew."""
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.write(content)
    Path(name).replace(path)
