# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which PgBouncer entry a tenant should have, and whether its clients must be cut on the way there. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from . import scram
from .store import CLOSED, CUTTING, OPEN, Entry, MemberEntry
from .tenants import TenantDatabase

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_EVERYWHERE = ("0.0.0.0/0", "::/0")
_SETTINGS = ("verifier", "pool_size", "direct_pool_size", "pool_mode", "networks", "members")


@dataclass(frozen=True)
class Step:
    """One tenant's way: from *before* through a closed door (if *cut*) to *after*."""

    name: str
    before: Entry
    after: Entry
    cut: bool
    changes: tuple[str, ...]

    @property
    def shuts(self) -> bool:
        """True if clients may be inside who have to leave."""
        return self.cut or (self.before.door != CLOSED and self.after.door == CLOSED)


def step(before: Entry, wanted: TenantDatabase) -> Step:
    """The way from *before* to *wanted*; a host's own tombstone stays the same as long as the door is shut."""
    after = _after(before, wanted)
    cut = after.door == OPEN and (before.door == CUTTING or (before.door == OPEN and _must_cut(before, wanted)))
    return Step(wanted.name, before, after, cut, tuple(_changes(before, after, cut, wanted.name)))


def closed(entry: Entry, door: str = CLOSED) -> Entry:
    """*entry* with its door shut. A line that PgBouncer once read is replaced by a tombstone, never taken out."""
    known = entry.verifier is not None
    tombstone = entry.tombstone or (scram.tombstone() if known else None)
    members = tuple(_shut(member) for member in entry.members)
    return replace(entry, door=door, verifier=None, tombstone=tombstone, members=members)


def networks(entry: Entry) -> tuple[str, ...]:
    """From where the tenant's clients may come."""
    return entry.networks or _EVERYWHERE


def _after(before: Entry, wanted: TenantDatabase) -> Entry:
    settled = before if wanted.generation is None else replace(before, generation=wanted.generation)
    if wanted.state != "present":
        return closed(settled)
    return replace(
        settled,
        door=OPEN,
        verifier=wanted.verifier,
        tombstone=None,
        pool_size=wanted.pool_size,
        direct_pool_size=wanted.direct_pool_size,
        pool_mode=wanted.pool_mode,
        networks=wanted.networks,
        members=_members(before, wanted),
        disconnected=wanted.generation if wanted.disconnect else before.disconnected,
    )


def _members(before: Entry, wanted: TenantDatabase) -> tuple[MemberEntry, ...]:
    """Those who are to get in by their verifiers, and those who once did by tombstones."""
    listed = {member.role: MemberEntry(member.role, member.verifier) for member in wanted.members}
    gone = [_shut(member) for member in before.members if member.role not in listed]
    return tuple(sorted([*listed.values(), *gone], key=lambda member: member.role))


def _shut(member: MemberEntry) -> MemberEntry:
    tombstone = member.tombstone or (scram.tombstone() if member.verifier is not None else None)
    return replace(member, verifier=None, tombstone=tombstone)


def _member_changed(before: Entry, wanted: TenantDatabase) -> bool:
    """True if a member gets in by another password than before: an open session knows nothing of it.

    Who goes is out without a cut, as nobody can log in to PostgreSQL by that role; who comes back needs one.
    """
    listed = {member.role: member.verifier for member in wanted.members}
    known = {member.role: member.verifier or member.tombstone for member in before.members}
    return any(known[role] not in (None, verifier) for role, verifier in listed.items() if role in known)


def _must_cut(before: Entry, wanted: TenantDatabase) -> bool:
    again = wanted.generation is not None and before.disconnected == wanted.generation
    disconnect = wanted.disconnect and not again
    lost = before.verifier != wanted.verifier or _member_changed(before, wanted)
    return disconnect or lost or _narrowed(before, wanted)


def _narrowed(before: Entry, wanted: TenantDatabase) -> bool:
    """True if a client that was let in might not be now: PgBouncer looks at networks only when one logs in."""
    allowed = [ipaddress.ip_network(network) for network in wanted.networks or _EVERYWHERE]
    return not all(_within(ipaddress.ip_network(network), allowed) for network in networks(before))


def _within(network: Network, allowed: list[Network]) -> bool:
    return any(network.version == other.version and network.subnet_of(other) for other in allowed)  # type: ignore[arg-type]


def _changes(before: Entry, after: Entry, cut: bool, name: str) -> list[str]:
    found = [f'Cut the clients of "{name}"'] if cut else []
    if before.door != CLOSED and after.door == CLOSED:
        found.append(f'Close "{name}": entry and networks out, tombstone in')
    elif before.door != OPEN and after.door == OPEN:
        found.append(f'Open "{name}": entry, networks and verifier in')
    elif after.door == OPEN:
        fields = [word for word in _SETTINGS if getattr(before, word) != getattr(after, word)]
        found += [f'Change {", ".join(fields)} of "{name}"'] if fields else []
    return found
