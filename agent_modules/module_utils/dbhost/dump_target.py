# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a dump from elsewhere finds where it is loaded, and whether it has brought anything."""

from __future__ import annotations

import psycopg

from . import postgres
from .dump_tokens import Target
from .errors import TenantError
from .postgres import Cluster

_EXTENSIONS = "SELECT name FROM pg_catalog.pg_available_extension_versions WHERE trusted OR NOT superuser"
_SETTINGS = "SELECT lower(name) FROM pg_catalog.pg_settings"
_ROLES = """
SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = %(tenant)s OR starts_with(rolname, %(tenant)s || '.')
"""
# What a new database has of its own has smaller numbers, or is in pg_catalog, where no tenant makes anything.
_HAS_OBJECTS = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_catalog'::regnamespace)
    OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid >= 16384 AND pronamespace <> 'pg_catalog'::regnamespace)
    OR EXISTS (SELECT FROM pg_catalog.pg_type WHERE oid >= 16384 AND typnamespace <> 'pg_catalog'::regnamespace)
    OR EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE oid >= 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE oid >= 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
"""


def observe(cluster: Cluster, tenant: str) -> Target:
    """What the role *tenant* finds on *cluster*."""
    with postgres.connect(cluster) as connection:
        listed = [
            frozenset(row[0] for row in connection.execute(query, {"tenant": tenant}).fetchall())
            for query in (_EXTENSIONS, _SETTINGS, _ROLES)
        ]
    return Target(*listed)


def require_objects(cluster: Cluster, database: str) -> None:
    """Raise TenantError if there is nothing in *database*, which was just loaded."""
    try:
        with postgres.connect(cluster, database) as inside:
            row = inside.execute(_HAS_OBJECTS).fetchone()
    except psycopg.Error as error:
        raise postgres.explain(error, "Look what was loaded") from None
    if not (row and row[0]):
        told = "The file holds nothing that would be in the database afterwards: no table, no type, no function."
        more = "Is it the right file? To empty the database all the same, allow an incomplete dump."
        raise TenantError("empty_dump", f"{told} {more}", step="Look what was loaded")
