"""What may be said of a host: its name, address, region, size and role variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from webapp.models import Host
from webapp.services.errors import ValidationFailed
from webapp.services.host_keys import check_key

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", re.ASCII)
REGION = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
ADDRESS = re.compile(r"[A-Za-z0-9:]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9:])?", re.ASCII)
PATTERNS = frozenset({"localhost", "all", "ungrouped"})
RESERVED = PATTERNS | {"local"}
MAX_CAPACITY = 50_000
ROLES = Path(__file__).parents[2] / "roles"


@dataclass(frozen=True)
class HostSpec:
    """A host as an operator describes it; what clients connect to is its address unless they get another name."""

    name: str
    address: str
    host_keys: tuple[str, ...]
    ssh_port: int = 22
    public_host: str | None = None
    pgbouncer_port: int = 6432
    pgbouncer_direct_port: int = 6433
    region: str = "default"
    capacity: int = 5000
    tls_root: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


def check_spec(spec: HostSpec) -> None:
    """Raises ValidationFailed for the first field that breaks its rule."""
    check_host_name(spec.name)
    check_address(spec.address, "address")
    check_address(spec.public_host or spec.address, "publicHost")
    check_region(spec.region)
    check_capacity(spec.capacity)
    ports = {
        "sshPort": spec.ssh_port,
        "pgbouncerPort": spec.pgbouncer_port,
        "pgbouncerDirectPort": spec.pgbouncer_direct_port,
    }
    for what, port in ports.items():
        if not 0 < port < 65536:
            raise refused(what, "A port is a number from 1 to 65535.")
    unknown = sorted(set(spec.variables) - role_variables())
    if unknown:
        raise refused("variables", f"No role has a variable {', '.join(unknown)} (roles/*/meta/argument_specs.yml).")


def check_host(host: Host) -> None:
    """Hold a row against the rules once more. Raises ValidationFailed for the first field that breaks its rule."""
    keys = tuple(check_key(key) for key in host.host_keys)
    known = {
        field: getattr(host, field) for field in ("ssh_port", "public_host", "pgbouncer_port", "region", "capacity")
    }
    check_spec(HostSpec(host.name, host.address or "", keys, variables=host.variables, **known))


def is_host_name(name: str) -> bool:
    """Whether *name* can only mean one host to Ansible; the embedded one's counts too."""
    return NAME.fullmatch(name) is not None and name not in PATTERNS


def check_host_name(name: str) -> str:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise refused(
            "name", "1 to 63 lower-case letters, digits, dots and hyphens; not local, localhost, all, ungrouped."
        )
    return name


def check_address(address: str, what: str = "address") -> str:
    """A name or an IP address. It goes onto the command line of ssh, so that nothing else may be in it."""
    if not ADDRESS.fullmatch(address):
        raise refused(what, "Give a host name or an IP address.")
    return address


def check_region(region: str) -> str:
    if not REGION.fullmatch(region):
        raise refused("region", "1 to 40 lower-case letters, digits and hyphens.")
    return region


def check_capacity(capacity: int) -> int:
    if not 0 <= capacity <= MAX_CAPACITY:
        raise refused("capacity", f"From 0 to {MAX_CAPACITY} databases.")
    return capacity


@lru_cache(maxsize=1)
def role_variables() -> frozenset[str]:
    """What roles document as theirs: settings of a host, and never a password or a way in."""
    found: set[str] = set()
    for file in ROLES.glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"].values():
            options = entry.get("options") or {}
            found |= {name for name, option in options.items() if not option.get("no_log")}
    return frozenset(found)


def refused(what: str, words: str) -> ValidationFailed:
    return ValidationFailed(words, errors={what: [words]})
