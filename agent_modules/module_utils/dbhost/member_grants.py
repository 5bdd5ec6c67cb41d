# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What member roles need done inside a tenant's database: reading for viewers, and a clean end for who goes.

As with ownership: no superuser, a membership for the length of one transaction that no other session sees, catalogs
alone are read, and no statement here runs any of a tenant's code.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from . import ownership
from .ownership import member_of

_SCHEMAS = "SELECT n.nspname::text FROM pg_catalog.pg_namespace AS n WHERE n.nspowner = %s::regrole ORDER BY 1"
_RELATIONS = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relowner = %s::regrole AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
 ORDER BY 1, 2
"""
_STILL_NAMED = """
SELECT 1 FROM pg_catalog.pg_shdepend AS s
  JOIN pg_catalog.pg_roles AS r ON r.oid = s.refobjid AND s.refclassid = 'pg_catalog.pg_authid'::regclass
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
 WHERE r.rolname = %s AND d.datname = current_database() LIMIT 1
"""
_STILL_OWNS = _STILL_NAMED.replace("LIMIT", "AND s.deptype = 'o' LIMIT")
# The tenant role first.
_FAMILY = """
SELECT r.rolname::text FROM pg_catalog.pg_roles AS r
 WHERE (r.rolname = %s OR starts_with(r.rolname, %s)) AND NOT r.rolsuper
   AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION')
 ORDER BY length(r.rolname), 1
"""
_DEFAULTS = ("SELECT ON TABLES", "SELECT ON SEQUENCES", "USAGE ON SCHEMAS")
_AT_ONCE = 500


def grant_viewers(connection: psycopg.Connection, tenant: str, group: str) -> None:
    """Let *group* read what *tenant* has and what it makes from now on; what it takes back later stays so."""
    names = {"tenant": sql.Identifier(tenant), "group": sql.Identifier(group)}
    with connection.transaction(), member_of(connection, tenant):
        for schema in _rows(connection, _SCHEMAS, tenant):
            grant = sql.SQL("GRANT USAGE ON SCHEMA {} TO {group}")
            connection.execute(grant.format(sql.Identifier(*schema), **names))
        relations = [sql.Identifier(*row) for row in _rows(connection, _RELATIONS, tenant)]
        for start in range(0, len(relations), _AT_ONCE):
            listed = sql.SQL(", ").join(relations[start : start + _AT_ONCE])
            connection.execute(sql.SQL("GRANT SELECT ON {} TO {group}").format(listed, **names))
        for privilege in _DEFAULTS:
            default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {tenant} GRANT {} TO {group}")
            connection.execute(default.format(sql.SQL(privilege), **names))


def release(connection: psycopg.Connection, tenant: str, role: str) -> None:
    """Give *tenant* what *role* owns in its database, and take *role* out of all rights and policies there.

    *role* may be a member's or another tenant's whom this one named. What cannot be given away stays the role's, and
    with it the role: DROP OWNED would drop it.
    """
    ownership.take_over(connection, tenant, role)
    family = [row[0] for row in connection.execute(_FAMILY, [tenant, tenant + "."]).fetchall() if row[0] != role]
    with connection.transaction(), member_of(connection, role, *family):
        if not connection.execute(_STILL_OWNS, [role]).fetchall():
            _drop_owned(connection, role)
            for grantor in family[1:] if connection.execute(_STILL_NAMED, [role]).fetchall() else []:
                _drop_as(connection, grantor, role)


def _drop_owned(connection: psycopg.Connection, role: str) -> None:
    """As a member of the owners, whose grants these are."""
    connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))


def _drop_as(connection: psycopg.Connection, grantor: str, role: str) -> None:
    """What somebody granted who is no owner, by a grant option: nobody else can take it back."""
    names = {"grantor": sql.Identifier(grantor), "role": sql.Identifier(role)}
    connection.execute(sql.SQL("GRANT {role} TO {grantor} WITH INHERIT TRUE").format(**names))
    connection.execute(sql.SQL("SET LOCAL ROLE {grantor}").format(**names))
    _drop_owned(connection, role)
    connection.execute("RESET ROLE")
    connection.execute(sql.SQL("REVOKE {role} FROM {grantor}").format(**names))


def _rows(connection: psycopg.Connection, query: str, tenant: str) -> list[tuple[str, ...]]:
    quoted = '"' + tenant + '"'  # regrole reads it as an identifier; a tenant's name holds no quote
    return connection.execute(query, [quoted]).fetchall()
