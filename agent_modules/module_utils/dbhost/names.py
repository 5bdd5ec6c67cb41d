# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which names a tenant database may have: they become SQL identifiers, INI keys and HBA fields."""

from __future__ import annotations

import re

from .errors import TenantError

_RULE = re.compile(r"[a-z][a-z0-9-]{1,48}[a-z0-9]")
# What a deleted database is called until its last backup is made. The OS user of dumps is let in by it too.
_HELD = re.compile(r"dbhost-held-[0-9a-f]{16}")

RESERVED = frozenset(
    {
        "all",
        "none",
        "pgbouncer",
        "postgres",
        "public",
        "replication",
        "samegroup",
        "samerole",
        "sameuser",
        "template0",
        "template1",
    }
)
RESERVED_PREFIX = "dbhost-"
CONTROL_DATABASE = "dbhost-control"


def is_valid(name: str) -> bool:
    """True if *name* has the form of a name, reserved or not."""
    return _RULE.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """True if *name* means something to PostgreSQL, to PgBouncer or to DBHost."""
    return name in RESERVED or name.startswith(RESERVED_PREFIX)


def is_held(name: str) -> bool:
    """True if *name* is that of a database that is kept for its last backup."""
    return _HELD.fullmatch(name) is not None


def require(name: str, *, allow_reserved: bool = False, allow_held: bool = False) -> None:
    """Raise TenantError unless *name* may be a tenant's. *allow_reserved* lets in the control plane's own alone."""
    if allow_held and is_held(name):
        return
    if not is_valid(name):
        raise TenantError(
            "invalid_name",
            "A name has 3 to 50 characters: small letters, digits and hyphens, first a letter, last no hyphen.",
        )
    if is_reserved(name) and not (allow_reserved and name == CONTROL_DATABASE):
        raise TenantError("reserved_name", "This name is reserved.")
