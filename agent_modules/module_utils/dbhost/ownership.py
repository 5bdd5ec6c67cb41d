# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give a tenant what is in its database: the schema public when it is new, foreign objects when repair is asked for.

Works without a superuser. For the length of one transaction the provisioner is a member of the roles concerned;
no other session ever sees those memberships. Only catalogs are read, and changes of owner run none of a
tenant's code (event triggers take a superuser to make).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import errors, sql

from . import default_privileges, shown
from .owned_objects import ALTER, DEFAULTS, KINDS, MAPPING, REASSIGN, Foreign, foreign

_LISTED = 200  # a tenant can make any number of objects; what people read of them has an end
_ONE_BY_ONE = 1000

_SCHEMAS = """
SELECT n.nspname::text FROM pg_namespace AS n
 WHERE n.nspowner = {tenant} AND NOT has_schema_privilege({tenant}, n.oid, 'CREATE') ORDER BY 1
"""


@dataclass
class Repaired:
    """What a repair did (in check mode: would do), and what it must leave to a person."""

    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def hand_over_public(connection: psycopg.Connection, tenant: str) -> None:
    """Give a new database's schema public to *tenant*; nothing to do if that has been done."""
    items = [item for item in foreign(connection, tenant) if item.ours and item.shown() == 'SCHEMA "public"']
    if items:
        with connection.transaction(), member_of(connection, tenant):
            for item in items:
                _alter(connection, tenant, item)


def repair(connection: psycopg.Connection, tenant: str, *, check: bool) -> Repaired:
    """Give every foreign-owned object to *tenant*, as far as the provisioner may."""
    found = foreign(connection, tenant, _LISTED)
    if not found:
        return Repaired()
    if check:
        left = [item for item in found if not item.ours and not item.administered]
    else:
        _take_ours(connection, tenant)
        for owner in _owners(connection, tenant):
            take_over(connection, tenant, owner)
        left = foreign(connection, tenant, _LISTED)
    return _told(tenant, found, left)


def take_over(connection: psycopg.Connection, tenant: str, *roles: str) -> None:
    """Give *tenant* all that *roles* own in this database, and forget what they said for themselves alone.

    What cannot be given (it lies in the schema of a role that nobody here administers) stays.
    """
    for role in roles:
        with connection.transaction(), member_of(connection, tenant, role):
            _schemas_first(connection, tenant, role)
            with _create_in_schemas(connection, tenant):
                _reassign(connection, tenant, role)
            default_privileges.forget(connection, role)
            _drop_mappings(connection, role)


@contextlib.contextmanager
def member_of(connection: psycopg.Connection, *roles: str) -> Iterator[None]:
    """Within a transaction: the provisioner is a member of *roles*, which no other session sees."""
    names = [sql.Identifier(role) for role in dict.fromkeys(roles)]
    for name in names:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE").format(name))
    yield
    for name in names:
        connection.execute(sql.SQL("REVOKE {} FROM CURRENT_USER GRANTED BY CURRENT_USER").format(name))


def _told(tenant: str, found: list[Foreign], left: list[Foreign]) -> Repaired:
    stuck = {item.key for item in left}
    moved = [item for item in found if item.key not in stuck]
    changes = [_change(item, tenant) for item in moved]
    more = found[0].total - len(found)
    if moved and more > 0:
        changes.append(f"Give {shown.identifier(tenant)} {more} more objects")
    return Repaired(changes, [f"{item.shown()} belongs to {item.owner}; left alone." for item in left])


def _change(item: Foreign, tenant: str) -> str:
    kind = KINDS.get(item.catalog)
    if kind == MAPPING:
        return f"DROP {item.shown()}"
    if kind == DEFAULTS:
        return f"Reset the default privileges {item.identity}"
    if kind == REASSIGN:
        return f"REASSIGN {item.shown()} TO {shown.identifier(tenant)}"
    return f"ALTER {item.shown()} OWNER TO {shown.identifier(tenant)}"


def _owners(connection: psycopg.Connection, tenant: str) -> list[str]:
    return sorted({item.owner for item in foreign(connection, tenant) if item.administered and not item.ours})


def _take_ours(connection: psycopg.Connection, tenant: str) -> None:
    """What the provisioner owns: never by REASSIGN OWNED, which would give away the databases of all tenants."""
    ours = [item for item in foreign(connection, tenant) if item.ours]
    if ours:
        with connection.transaction(), member_of(connection, tenant):
            _one_by_one(connection, tenant, ours)


def _schemas_first(connection: psycopg.Connection, tenant: str, role: str) -> None:
    """An owner must have CREATE in the schema of what it owns."""
    for item in foreign(connection, tenant):
        if item.owner == role and item.kind == "SCHEMA":
            _alter(connection, tenant, item)


@contextlib.contextmanager
def _create_in_schemas(connection: psycopg.Connection, tenant: str) -> Iterator[None]:
    """The tenant may have taken CREATE from itself in a schema of its own; it gets it back for this transaction."""
    literal = sql.SQL("{}::regrole").format(sql.Literal(sql.Identifier(tenant).as_string(connection)))
    closed = [row[0] for row in connection.execute(sql.SQL(_SCHEMAS).format(tenant=literal)).fetchall()]
    for schema in closed:
        _schema_right(connection, "GRANT CREATE ON SCHEMA {} TO {}", schema, tenant)
    yield
    for schema in closed:
        _schema_right(connection, "REVOKE CREATE ON SCHEMA {} FROM {}", schema, tenant)


def _schema_right(connection: psycopg.Connection, template: str, schema: str, tenant: str) -> None:
    connection.execute(sql.SQL(template).format(sql.Identifier(schema), sql.Identifier(tenant)))


def _reassign(connection: psycopg.Connection, tenant: str, role: str) -> None:
    try:
        with connection.transaction():
            own, to = sql.Identifier(role), sql.Identifier(tenant)
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(own, to))
    except errors.InsufficientPrivilege:
        items = [item for item in foreign(connection, tenant) if item.owner == role]
        _one_by_one(connection, tenant, items[:_ONE_BY_ONE])


def _drop_mappings(connection: psycopg.Connection, role: str) -> None:
    query = "SELECT srvname::text FROM pg_user_mappings WHERE usename = %s"
    for (server,) in connection.execute(query, [role]).fetchall():
        drop = sql.SQL("DROP USER MAPPING FOR {} SERVER {}")
        connection.execute(drop.format(sql.Identifier(role), sql.Identifier(server)))


def _one_by_one(connection: psycopg.Connection, tenant: str, items: Iterable[Foreign]) -> None:
    for item in items:
        with contextlib.suppress(errors.InsufficientPrivilege), connection.transaction():
            _alter(connection, tenant, item)


def _alter(connection: psycopg.Connection, tenant: str, item: Foreign) -> None:
    if KINDS.get(item.catalog, ALTER) == ALTER:
        connection.execute(item.alter(tenant))
