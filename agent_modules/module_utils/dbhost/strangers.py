# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has that nobody knows: databases, roles, and lines of PgBouncer's files. Found, told, left alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from . import names, pgbouncer_files, retired, store
from .members import VIEWERS
from .store import CLOSED

# Made by initdb and by the roles, none of them a tenant's.
_OURS = frozenset({"postgres", "template0", "template1", "pgbouncer"})
_OUR_PREFIXES = (names.RESERVED_PREFIX, "dbhost_")

_DATABASES = """
SELECT d.datname::text, r.rolname::text FROM pg_catalog.pg_database AS d
  JOIN pg_catalog.pg_roles AS r ON r.oid = d.datdba ORDER BY 1
"""
# Below 16384 are PostgreSQL's own.
_ROLES = """
SELECT r.rolname::text,
       CASE WHEN r.rolsuper THEN 'a superuser' WHEN r.rolcanlogin THEN 'may log in' ELSE 'may not log in' END
  FROM pg_catalog.pg_roles AS r WHERE r.oid >= 16384 ORDER BY 1
"""


@dataclass(frozen=True)
class Stranger:
    """One thing that nobody knows. *place* is where it was found; nothing in it is secret."""

    place: str
    name: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def in_cluster(connection: psycopg.Connection, known: Collection[str]) -> list[Stranger]:
    """Databases and roles that are neither in *known* nor DBHost's own."""
    found = [
        Stranger("databases", name, f'The database "{name}" of {owner} is known to nobody.')
        for name, owner in connection.execute(_DATABASES).fetchall()
        if not _is_known(name, known)
    ]
    found += [
        Stranger("roles", name, f'The role "{name}" ({kind}) is known to nobody.')
        for name, kind in connection.execute(_ROLES).fetchall()
        if not _is_known(name, known)
    ]
    found += [
        Stranger("roles", name, f'The role "{name}" of something deleted is kept: {", ".join(places)} still names it.')
        for name, places in retired.named_in(connection).items()
    ]
    return found


def in_files(config_dir: Path, state_dir: Path, known: Collection[str]) -> list[Stranger]:
    """Lines of PgBouncer's files, and open doors in the host's own memory, for names that nobody knows.

    A tombstone of a tenant that is gone is known: the memory holds it. Raises TenantError if that cannot be read.
    """
    held = store.load(state_dir)
    doors = [name for name, entry in held.items() if entry.door != CLOSED and not _is_known(name, known)]
    found = [Stranger("tenants.json", name, f'The host lets in "{name}", known to nobody.') for name in doors]
    roles = (member.role for entry in held.values() for member in entry.members)
    remembered = {*known, *held, *roles}
    found += [
        Stranger(file, name, f'{file} has a line for "{name}", known to nobody.')
        for file, subjects in pgbouncer_files.subjects(config_dir)
        for name in subjects
        if not _is_known(name, remembered)
    ]
    return list(dict.fromkeys(found))


def _is_known(name: str, known: Collection[str]) -> bool:
    """A database's group of viewers is as known as the database; its members' roles have to be named."""
    if names.is_held(name.partition(".")[0]):
        return name.partition(".")[0] in known
    return name.removesuffix(VIEWERS) in known or name in _OURS or name.startswith(_OUR_PREFIXES)
