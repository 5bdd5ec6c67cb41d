"""Remove by its name all that a fleet has outside its folder: no record is needed, so none can be missing."""

from __future__ import annotations

import shutil
from pathlib import Path

from webapp.fleet import cgroups, network
from webapp.fleet.commands import succeeds
from webapp.fleet.names import FleetNames


def sweep(names: FleetNames) -> None:
    """Processes, cgroups, cables, bridge, mounts, shared connections. Safe to repeat, and after a crash anywhere."""
    cgroups.remove(names.cgroup)
    close_connections(names.control_sockets)
    network.remove_all(names)
    for point in mounts_below(names.folder):
        succeeds("umount", "--lazy", str(point))


def close_connections(sockets: Path) -> None:
    """Tell OpenSSH's shared connections to end; they would else live on for a while without their hosts."""
    if not sockets.is_dir():
        return
    for control_socket in (entry for entry in sockets.rglob("*") if entry.is_socket()):
        succeeds("ssh", "-F", "none", "-o", f"ControlPath={control_socket}", "-O", "exit", "fleet", timeout_s=5)
    shutil.rmtree(sockets)


def mounts_below(folder: Path) -> list[Path]:
    """Mount points below *folder*, the deepest first. Hosts mount out of sight, so there should be none."""
    points = [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.is_relative_to(folder)), reverse=True)
