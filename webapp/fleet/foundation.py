"""What hosts stand on: keys, bridge, package proxy and image for all of them, a disk and a pinned key for each."""

from __future__ import annotations

import shutil
from pathlib import Path

from webapp.fleet import image, keys, layer, network, packages_proxy, packages_store
from webapp.fleet.commands import Progress
from webapp.fleet.machine import Machine
from webapp.fleet.names import FleetNames
from webapp.fleet.record import Record

PACKAGES = "packages"  # beside the images, so that fleets that share those share them too


def ensure(names: FleetNames, images: Path, known: Record, progress: Progress, *, with_packages: bool) -> Path:
    """Make or start what all hosts share. Returns the image for new hosts."""
    keys.ensure_key(names.admin_key_file, "dbhost-admin")
    keys.ensure_key(names.worker_key_file, "dbhost-worker")
    network.ensure_bridge(names, known)
    cache, store = names.folder / "packages", images / PACKAGES
    packages_proxy.ensure_running(cache, f"{names.cgroup}/packages", known.bridge_address, store)
    proxy_url = packages_proxy.url(known.bridge_address)
    return image.ensure_image(images, f"{names.cgroup}/image", proxy_url, progress, with_packages=with_packages)


def ensure_disk(machine: Machine, known: Record, base: Path) -> None:
    """Give the host its disk above *base*, and pin its key, before it boots for the first time."""
    names = machine.names
    identity = layer.Identity(
        hostname=machine.hostname,
        address=known.address(machine.number),
        prefix_length=known.network.prefixlen,
        proxy_url=packages_proxy.url(known.bridge_address),
        host_key=keys.ensure_key(names.host_key_file(machine.hostname), machine.hostname),
        admin_key=names.admin_key_file,
    )
    layer.ensure_layer(machine.folder, identity, base)
    _pin_host_keys(names, known)


def _pin_host_keys(names: FleetNames, known: Record) -> None:
    lines = []
    for number in known.numbers():
        host_key = names.host_key_file(Machine(names, number).hostname)
        if host_key.exists():
            lines.append(keys.known_hosts_line(str(known.address(number)), host_key))
    names.known_hosts_file.write_text("".join(lines))


def remove(names: FleetNames) -> None:
    """Forget the hosts: disks, keys, record. The image and the fetched packages stay for the next ones."""
    for name in ("hosts", "keys", "host_keys", "tls"):
        shutil.rmtree(names.folder / name, ignore_errors=True)
    for file in (names.record_file, names.known_hosts_file, names.inventory_file):
        file.unlink(missing_ok=True)


def keep_packages(names: FleetNames, images: Path) -> None:
    """What this fleet fetched is there for the next one."""
    if images != names.folder / "images":
        packages_store.give(names.folder / "packages/cache", images / PACKAGES)
