# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles that go: dropped at once where nothing holds them, else put aside under a name of ours and swept later.

A tenant can name any role of the cluster in its own database, in a GRANT, a policy, a default privilege, and hold such
a statement open. PostgreSQL does not drop a role that is named somewhere. So the name is always free at once and the
role without any right; what is left of it costs nobody anything.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import psycopg
from psycopg import errors, sql

from . import member_grants
from .errors import TenantError

PREFIX = "dbhost-gone-"
_HELD = (errors.DependentObjectsStillExist, errors.LockNotAvailable, errors.ObjectInUse)
_SWEEP_S = 5.0  # of a run that does something else, and that others wait for
_AT_ONCE = 50

_OWNS_ELSEWHERE = """
SELECT DISTINCT d.datname::text FROM pg_catalog.pg_shdepend AS s
  JOIN pg_catalog.pg_roles AS r ON r.oid = s.refobjid AND s.refclassid = 'pg_catalog.pg_authid'::regclass
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
 WHERE r.rolname = %s AND d.datname <> %s AND s.deptype = 'o'
   AND s.classid <> 'pg_catalog.pg_default_acl'::regclass ORDER BY 1
"""
_MEMBERSHIPS = """
SELECT g.rolname::text, m.rolname::text FROM pg_catalog.pg_auth_members AS a
  JOIN pg_catalog.pg_roles AS g ON g.oid = a.roleid JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
 WHERE (g.rolname = %(role)s OR m.rolname = %(role)s) AND a.grantor = current_user::regrole
"""
_RETIRED = """
SELECT r.rolname::text,
       ARRAY(SELECT DISTINCT d.datname::text FROM pg_catalog.pg_shdepend AS s
               JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
              WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = r.oid)
  FROM pg_catalog.pg_roles AS r
 WHERE starts_with(r.rolname, %s) AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION')
 ORDER BY 1
"""
_OPEN = "SELECT d.datname::text FROM pg_catalog.pg_database AS d WHERE d.datname = ANY (%s) AND d.datallowconn"


def drop(connection: psycopg.Connection, role: str, database: str) -> None:
    """Drop *role* of *database*, or put it aside. Raises TenantError where it owns things in another database."""
    try:
        _drop(connection, role, "1s")
    except _HELD:
        elsewhere = connection.execute(_OWNS_ELSEWHERE, [role, database]).fetchall()
        if elsewhere:  # a superuser's doing, and somebody's data
            listed = ", ".join(str(row[0]) for row in elsewhere)
            raise TenantError("role_in_use", f"The role still owns things in: {listed}.") from None
        _retire(connection, role)


def named_in(connection: psycopg.Connection) -> dict[str, list[str]]:
    """The roles that are put aside, and the databases whose tenants still name them."""
    return dict(connection.execute(_RETIRED, [PREFIX]).fetchall())


def sweep(connection: psycopg.Connection, enter: Callable[[str], psycopg.Connection]) -> None:
    """Drop what is put aside as far as that goes now. Never fails, and takes a few seconds at most.

    In no order, so that one that never goes does not keep back the others.
    """
    until = time.monotonic() + _SWEEP_S
    found = list(named_in(connection).items())
    for role, databases in secrets.SystemRandom().sample(found, min(len(found), _AT_ONCE)):
        try:
            for (database,) in connection.execute(_OPEN, [databases]).fetchall():
                if time.monotonic() > until:
                    return
                _forget(enter, database, role)
            _drop(connection, role, "200ms")
        except (psycopg.Error, TenantError):
            continue


def _forget(enter: Callable[[str], psycopg.Connection], database: str, role: str) -> None:
    """Take *role* out of a database's rights and policies."""
    with enter(database) as inside:
        inside.execute("SET lock_timeout = '500ms'")
        inside.execute("SET statement_timeout = '3s'")
        member_grants.release(inside, database, role)


def _drop(connection: psycopg.Connection, role: str, patience: str) -> None:
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(patience)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _retire(connection: psycopg.Connection, role: str) -> None:
    """One transaction, of which no statement waits for what other sessions say about the role."""
    name, aside = sql.Identifier(role), sql.Identifier(PREFIX + secrets.token_hex(8))
    with connection.transaction():
        for granted, member in connection.execute(_MEMBERSHIPS, {"role": role}).fetchall():
            connection.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(granted), sql.Identifier(member)))
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0").format(name))
        connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
        connection.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(name, aside))
