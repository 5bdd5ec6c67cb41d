# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Member roles of a tenant database: who they are, and which changes make them what they should be. Pure.

A member who writes works as the tenant role, so that whatever one makes belongs to all. A viewer reads what the
tenant role lets the group of viewers read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import scram
from .errors import TenantError

LEVELS = ("admin", "developer", "viewer")
VIEWERS = ".viewers"
# No tenant's name has a dot, so a member role is never another's tenant role.
_ROLE = re.compile(r"(?P<database>[^.]+)\.[a-z0-9]{8}")


@dataclass(frozen=True)
class Member:
    """One person's own role in one database."""

    role: str
    level: str
    verifier: str = field(repr=False)

    @property
    def writes(self) -> bool:
        return self.level != "viewer"


@dataclass(frozen=True)
class ObservedMember:
    """A member role as the cluster has it."""

    role: str
    foreign: bool = False
    login: bool = False
    role_limit: int | None = None
    member_of: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    salt: scram.Salt | None = None


def viewers(database: str) -> str:
    """The role, without login, of all who only read *database*."""
    return database + VIEWERS


def is_member_role(role: str, database: str) -> bool:
    """Whether *role* has the form of a member's role in *database*."""
    match = _ROLE.fullmatch(role)
    return match is not None and match["database"] == database


def parse(items: Sequence[Mapping[str, Any]], database: str) -> tuple[Member, ...]:
    """The checked members of one item. Raises TenantError, which quotes nothing of them."""
    found = tuple(Member(item["role"], item["level"], item["verifier"]) for item in items)
    roles = {member.role for member in found}
    if len(roles) != len(found) or not all(is_member_role(role, database) for role in roles):
        raise TenantError(
            "invalid_member", "A member's role is the database's name, a dot and 8 small letters or digits."
        )
    for member in found:
        if member.level not in LEVELS:
            raise TenantError("invalid_member", "A member's level is not one of those that exist.")
        scram.parse(member.verifier)
    return tuple(sorted(found, key=lambda member: member.role))


def settings(member: Member, database: str) -> dict[str, str]:
    """What a session of the member begins with."""
    return {"role": database} if member.writes else {"default_transaction_read_only": "on"}
