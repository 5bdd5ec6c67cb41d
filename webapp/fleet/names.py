"""How one fleet names what it makes: everything outside its folder carries a hash of that folder's path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from webapp.fleet.commands import run
from webapp.fleet.errors import FleetError

# An interface name has at most 15 characters, and nspawn puts "vb-" before the machine's name.
MAX_HOSTS = 99
RANGES = IPv4Network("10.192.0.0/11")


@dataclass(frozen=True)
class FleetNames:
    """The folder of one fleet and the names derived from it."""

    folder: Path

    @property
    def tag(self) -> str:
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:6]

    @property
    def bridge(self) -> str:
        return f"dbh{self.tag}"

    @property
    def cgroup(self) -> str:
        return f"dbhost-{self.tag}"

    @property
    def control_sockets(self) -> Path:
        """For OpenSSH's shared connections, whose path must stay short."""
        return Path(f"/run/dbh{self.tag}")

    @property
    def record_file(self) -> Path:
        return self.folder / "fleet.json"

    @property
    def admin_key_file(self) -> Path:
        return self.folder / "keys/admin"

    @property
    def worker_key_file(self) -> Path:
        """The stack's own: one worker serves its hosts and those that were added to it."""
        return self.folder.parent / "ssh/worker"

    @property
    def authority(self) -> Path:
        """The stack's own, so that one CA file serves clients of the stack and of its hosts."""
        return self.folder.parent / "tls"

    @property
    def certificates(self) -> Path:
        return self.folder / "tls"

    @property
    def known_hosts_file(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def inventory_file(self) -> Path:
        return self.folder / "inventory.yml"

    def host_key_file(self, hostname: str) -> Path:
        return self.folder / "host_keys" / hostname

    def machine(self, number: int) -> str:
        return f"dbh{self.tag}-{number}"

    def link(self, number: int) -> str:
        """The machine's end of the host's cable; nspawn names it."""
        return f"vb-{self.machine(number)}"

    @property
    def link_prefix(self) -> str:
        return f"vb-dbh{self.tag}-"


def free_network(tag: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first /24 of our range that overlaps nothing in *taken*, beginning at a place the tag picks."""
    taken = list(taken)
    candidates = list(RANGES.subnets(new_prefix=24))
    start = int(tag, 16) % len(candidates)
    for candidate in candidates[start:] + candidates[:start]:
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise FleetError(f"No /24 of {RANGES} is free on this machine.")


def routed_networks() -> list[IPv4Network]:
    """Every IPv4 network this machine has a route to, but for the default route."""
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    return [IPv4Network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]
