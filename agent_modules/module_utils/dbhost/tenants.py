# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tenant database as a host should have it, checked before anything is done with it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import members, names, scram
from .errors import TenantError
from .members import Member

STATES = ("present", "stopped", "closed", "absent")
POOL_MODES = ("transaction", "session")
MAX_CONNECTIONS = 10_000


@dataclass(frozen=True)
class TenantDatabase:
    """One database, its tenant role and its PgBouncer entry, which all have the same name."""

    name: str
    state: str = "present"
    verifier: str | None = field(default=None, repr=False)
    generation: int | None = None
    connection_limit: int = 40
    pool_size: int = 25
    direct_pool_size: int = 10
    pool_mode: str = "transaction"
    networks: tuple[str, ...] = ()
    disconnect: bool = False
    repair_ownership: bool = False
    read_only: bool = False
    members: tuple[Member, ...] = ()
    held_as: str | None = None

    @property
    def sizes_note(self) -> str | None:
        """What to say when PgBouncer would open more connections than PostgreSQL lets it."""
        if self.pool_size + self.direct_pool_size <= self.connection_limit:
            return None
        return (
            f"pool_size and direct_pool_size add up to more than connection_limit ({self.connection_limit}): when both "
            "doors are busy, PostgreSQL refuses the rest."
        )


def parse(item: Mapping[str, Any], *, allow_reserved: bool) -> TenantDatabase:
    """The checked form of one item of `tenant_databases`. Raises TenantError, which never quotes the item."""
    given = {key: value for key, value in item.items() if value is not None}
    listed = given.pop("members", [])
    wanted = TenantDatabase(**{**given, "networks": networks(given.get("networks", []))})
    names.require(wanted.name, allow_reserved=allow_reserved, allow_held=wanted.state == "absent")
    wanted = replace(wanted, members=members.parse(listed, wanted.name))
    _require_choices(wanted)
    if wanted.state != "absent":
        scram.parse(wanted.verifier or "")
    return wanted


def networks(values: list[str]) -> tuple[str, ...]:
    """CIDRs in the one form that HBA files use; host bits set by mistake are refused, not cut off."""
    try:
        found = tuple(str(ipaddress.ip_network(value)) for value in values)
    except ValueError:
        found = ("%",)
    if any("%" in network for network in found):  # a scope id has no meaning to PgBouncer
        raise TenantError("invalid_network", "A network is not a CIDR such as 203.0.113.0/24.")
    return found


def _require_choices(wanted: TenantDatabase) -> None:
    if wanted.state not in STATES or wanted.pool_mode not in POOL_MODES:
        raise TenantError("invalid_item", "The state or the pool mode is not one of those that exist.")
    if wanted.held_as is not None and (not names.is_held(wanted.held_as) or names.is_held(wanted.name)):
        raise TenantError("invalid_item", "What is kept aside is called dbhost-held- and 16 small hexadecimal digits.")
    for number in (wanted.connection_limit, wanted.pool_size, wanted.direct_pool_size):
        if not 1 <= number <= MAX_CONNECTIONS:
            raise TenantError("invalid_item", f"Limits and pool sizes are between 1 and {MAX_CONNECTIONS}.")
    if wanted.generation is not None and wanted.generation < 0:
        raise TenantError("invalid_item", "A generation is not negative.")
