"""The fleet's network: one bridge with an address and no way out; nspawn plugs each host into it."""

from __future__ import annotations

import json

from webapp.fleet.commands import run, succeeds
from webapp.fleet.names import FleetNames
from webapp.fleet.record import Record


def links() -> dict[str, dict[str, object]]:
    return {link["ifname"]: link for link in json.loads(run("ip", "-json", "link", "show"))}


def ensure_bridge(names: FleetNames, known: Record) -> None:
    """A bridge with the network's first address. It has no uplink, and hosts get no default route."""
    if names.bridge not in links():
        # No snooping: IPv6 asks for neighbours by multicast, and a host without a link-local address joins no group.
        run("ip", "link", "add", "name", names.bridge, "type", "bridge", "mcast_snooping", "0")
    run("ip", "link", "set", "dev", names.bridge, "addrgenmode", "none")  # no IPv6: nothing would be pinned there
    run("ip", "address", "replace", f"{known.bridge_address}/{known.network.prefixlen}", "dev", names.bridge)
    run("ip", "link", "set", "dev", names.bridge, "up")


def is_plugged(names: FleetNames, number: int) -> bool:
    link = links().get(names.link(number))
    return link is not None and "UP" in list(link["flags"])  # type: ignore[call-overload]


def unplug(names: FleetNames, number: int) -> None:
    run("ip", "link", "set", "dev", names.link(number), "down")


def plug(names: FleetNames, number: int) -> None:
    run("ip", "link", "set", "dev", names.link(number), "up")


def remove_link(names: FleetNames, number: int) -> None:
    """The kernel takes it away by itself after a power cut, but later than the next boot may want the name."""
    succeeds("ip", "link", "delete", "dev", names.link(number))


def remove_all(names: FleetNames) -> None:
    """The bridge and every cable that carries this fleet's name."""
    for name in links():
        if name == names.bridge or name.startswith(names.link_prefix):
            succeeds("ip", "link", "delete", "dev", name)
