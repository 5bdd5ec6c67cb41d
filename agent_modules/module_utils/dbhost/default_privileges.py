# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take back what a role said by ALTER DEFAULT PRIVILEGES in one database: no statement does that in one."""

from __future__ import annotations

import psycopg
from psycopg import sql

_CLASSES = {
    "r": sql.SQL("TABLES"),
    "S": sql.SQL("SEQUENCES"),
    "f": sql.SQL("FUNCTIONS"),
    "T": sql.SQL("TYPES"),
    "n": sql.SQL("SCHEMAS"),
    "L": sql.SQL("LARGE OBJECTS"),
}
_QUERY = """
SELECT d.defaclobjtype::text, n.nspname::text,
       ARRAY(SELECT DISTINCT g.rolname::text FROM aclexplode(d.defaclacl) AS a JOIN pg_roles AS g ON g.oid = a.grantee)
  FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
 WHERE d.defaclrole = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = %s)
"""


def forget(connection: psycopg.Connection, role: str) -> None:
    """What *role* makes from now on has PostgreSQL's own rights. The caller's transaction is a member of it."""
    for kind, schema, grantees in connection.execute(_QUERY, [role]).fetchall():
        to_all = [sql.Identifier(name) for name in grantees if name != role]
        for grantee in (*to_all, sql.SQL("PUBLIC"), sql.Identifier(role)):
            _alter(connection, role, schema, sql.SQL("REVOKE ALL ON {} FROM {}").format(_CLASSES[kind], grantee))
        if schema is None:  # a right that PostgreSQL gives by itself is listed, and its absence too
            own = sql.SQL("GRANT ALL ON {} TO {}").format(_CLASSES[kind], sql.Identifier(role))
            public = {
                "f": [sql.SQL("GRANT EXECUTE ON FUNCTIONS TO PUBLIC")],
                "T": [sql.SQL("GRANT USAGE ON TYPES TO PUBLIC")],
            }
            for right in (own, *public.get(kind, [])):
                _alter(connection, role, schema, right)


def _alter(connection: psycopg.Connection, role: str, schema: str | None, right: sql.Composable) -> None:
    scope = sql.SQL("IN SCHEMA {} ").format(sql.Identifier(schema)) if schema else sql.SQL("")
    prefix = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} ").format(sql.Identifier(role))
    connection.execute(prefix + scope + right)
