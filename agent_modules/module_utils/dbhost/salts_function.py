# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The public part of tenants' verifiers for a whole list at once: a function of the cluster's own database.

A server tells anybody who starts to log in a role's salt and iteration count. The function tells the provisioner the
same of roles that it administers, without a login for each; the keys of a verifier never leave the server.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import errors, sql

from . import scram

# Who calls it is the session's user: within the function the current user is its owner. Where a login is refused
# whatever the password is (none, MD5, expired), a server offers a made-up salt; here such a role has no row.
# pg_has_role goes through all memberships of the provisioner, so the grant that CREATE ROLE leaves is looked up first.
BODY = """
SELECT a.rolname::text, part[1]::int, part[2]
  FROM pg_catalog.pg_authid AS a,
       LATERAL pg_catalog.regexp_match(a.rolpassword, '^SCRAM-SHA-256[$]([0-9]{1,9}):([A-Za-z0-9+/=]+)[$]') AS part
 WHERE a.rolname::text = ANY (roles)
   AND part IS NOT NULL
   AND NOT (a.rolsuper OR a.rolreplication OR a.rolbypassrls)
   AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil >= pg_catalog.clock_timestamp())
   AND CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_auth_members AS m
                          WHERE m.roleid = a.oid AND m.admin_option
                            AND m.member = pg_catalog.to_regrole(pg_catalog.quote_ident(session_user)))
            THEN true ELSE pg_catalog.pg_has_role(session_user, a.oid, 'MEMBER WITH ADMIN OPTION') END
"""
# Another owner, settings or grants than those it was made with: it is made again.
OBSERVE = """
(SELECT p.prosrc FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner
  WHERE p.oid = pg_catalog.to_regprocedure('dbhost.salts(text[])')
    AND p.prosecdef AND o.rolsuper AND p.proconfig = ARRAY['search_path=""']
    AND ARRAY(SELECT a.grantee FROM pg_catalog.aclexplode(p.proacl) AS a ORDER BY 1)
        = ARRAY[o.oid, pg_catalog.to_regrole(%(role)s)::oid])
"""
_MAKE = """
CREATE SCHEMA IF NOT EXISTS dbhost;
DROP FUNCTION IF EXISTS dbhost.salts(text[]);
CREATE FUNCTION dbhost.salts(roles text[])
RETURNS TABLE (role text, iterations int, salt text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS {body};
REVOKE ALL ON FUNCTION dbhost.salts(text[]) FROM PUBLIC;
GRANT USAGE ON SCHEMA dbhost TO {role};
GRANT EXECUTE ON FUNCTION dbhost.salts(text[]) TO {role}
"""
_SALTS = "SELECT role, iterations, salt FROM dbhost.salts(%s)"


def make(provisioner: str) -> sql.Composed:
    """The function, for *provisioner* alone."""
    return sql.SQL(_MAKE).format(body=sql.Literal(BODY), role=sql.Identifier(provisioner))


def read(connection: psycopg.Connection, roles: Iterable[str]) -> dict[str, scram.Salt] | None:
    """The salts of those of *roles* that could log in; None on a cluster whose installer made no such function."""
    try:
        rows = connection.execute(_SALTS, [list(roles)]).fetchall()
    except (errors.UndefinedFunction, errors.InvalidSchemaName, errors.InsufficientPrivilege):
        return None
    return {role: scram.Salt(iterations, salt) for role, iterations, salt in rows}
