"""What a fleet remembers between commands: its network and its hosts, in one file that is replaced whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from webapp.fleet import names

FIRST_HOST = 11  # the hosts' place in the network; the bridge has the first address


@dataclass(frozen=True)
class Record:
    """The hosts are db1 to db<count>."""

    network: IPv4Network
    count: int

    def numbers(self) -> range:
        return range(1, self.count + 1)

    @property
    def bridge_address(self) -> IPv4Address:
        return self.network[1]

    def address(self, number: int) -> IPv4Address:
        return self.network[FIRST_HOST + number - 1]


def read(file: Path) -> Record | None:
    if not file.exists():
        return None
    values = json.loads(file.read_text())
    return Record(network=IPv4Network(values["network"]), count=values["count"])


def write(file: Path, record: Record) -> None:
    new = file.with_suffix(".new")
    with new.open("w") as out:
        json.dump({"network": str(record.network), "count": record.count}, out)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)


def ensure(file: Path, tag: str, count: int) -> Record:
    """Remember at least *count* hosts before anything of them exists, so that a crash leaves nothing unknown."""
    known = read(file)
    if known is not None and known.count >= count:
        return known
    network = known.network if known else names.free_network(tag, names.routed_networks())
    record = Record(network=network, count=count)
    write(file, record)
    return record
