# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may make large objects: the roles of two groups, and nobody else.

PostgreSQL lets everybody who can log in make them, viewers too, and what begins a transaction read-only can be
overruled in it. So the installer takes EXECUTE from PUBLIC in a template that new databases are made of, and once in
each database that is older. PostgreSQL is told that this is how the database began (pg_init_privs): pg_dump then
writes nothing of it, and a dump can be loaded anywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .unprepared import Unprepared

TEMPLATE = "dbhost-template"
MAKE = "dbhost_large_objects"
# Who may free space: tenants of databases that are read-only for their size too.
CLEAN = "dbhost_large_object_cleanup"
FUNCTIONS = {
    MAKE: ("lo_creat", "lo_create", "lo_from_bytea", "lo_put", "lowrite"),
    CLEAN: ("lo_truncate", "lo_truncate64", "lo_unlink"),
}
GROUPS = tuple(sorted(FUNCTIONS))

_PENDING = """
WITH wanted AS (SELECT p.oid FROM pg_catalog.pg_proc AS p
                 WHERE p.proname = ANY (%(functions)s) AND p.pronamespace = 'pg_catalog'::regnamespace)
SELECT d.datname::text, d.datallowconn, r.rolname::text,
       ARRAY(SELECT g.name FROM unnest(%(groups)s::text[]) AS g(name)
              WHERE r.oid IS NOT NULL AND NOT EXISTS (
                  SELECT FROM pg_catalog.pg_auth_members AS m
                   WHERE m.member = r.oid AND m.roleid = pg_catalog.to_regrole(g.name)))
  FROM pg_catalog.pg_database AS d
  LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = d.datname AND NOT r.rolsuper
 WHERE (d.datdba = pg_catalog.to_regrole(%(provisioner)s) OR d.datname = %(template)s) AND d.datconnlimit <> -2
   AND (SELECT count(DISTINCT s.objid) FROM pg_catalog.pg_shdepend AS s
         WHERE s.dbid = d.oid AND s.classid = 'pg_catalog.pg_proc'::regclass AND s.deptype = 'a'
           AND s.objid IN (SELECT oid FROM wanted)
           AND s.refobjid IN (SELECT pg_catalog.to_regrole(g.name)::oid FROM unnest(%(groups)s::text[]) AS g(name)))
       < (SELECT count(*) FROM wanted)
 ORDER BY d.datname <> %(template)s, 1
"""
_MAY_GIVE = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles AS g WHERE g.rolname = %s
                  AND pg_catalog.pg_has_role(current_user, g.oid, 'MEMBER WITH ADMIN OPTION'))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members AS m
                     JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid JOIN pg_catalog.pg_roles AS r ON r.oid = m.member
                    WHERE g.rolname = %s AND r.rolname = %s)
"""
_SIGNATURES = """
SELECT p.proname::text, p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p
 WHERE p.proname = ANY (%s) AND p.pronamespace = 'pg_catalog'::regnamespace ORDER BY 1, 2
"""
_FORGET = "DELETE FROM pg_catalog.pg_init_privs WHERE classoid = 'pg_catalog.pg_proc'::regclass AND objoid = ANY (%s)"
_REMEMBER = """
INSERT INTO pg_catalog.pg_init_privs (objoid, classoid, objsubid, privtype, initprivs)
SELECT p.oid, 'pg_catalog.pg_proc'::regclass, 0, 'i', p.proacl FROM pg_catalog.pg_proc AS p WHERE p.oid = ANY (%s)
"""


@dataclass(frozen=True)
class Pending(Unprepared):
    """A database in which everybody can still make large objects, and what its tenant role is to be a member of."""

    tenant: str | None
    groups: list[str]

    def shown(self) -> str:
        return f'Take the making of large objects from PUBLIC in "{self.name}"'


def pending(conn: psycopg.Connection, provisioner: str) -> list[Pending]:
    """The databases that are still open in this way; the shared catalogs tell, none is entered."""
    parameters = {
        "functions": _names(),
        "groups": list(GROUPS),
        "provisioner": provisioner,
        "template": TEMPLATE,
    }
    return [Pending(*row) for row in conn.execute(_PENDING, parameters).fetchall()]


def admit(conn: psycopg.Connection, database: Pending, provisioner: str) -> None:
    """Let the database's tenant role go on making them; its members who write have what it has."""
    for group in database.groups if database.tenant else []:
        grant = sql.SQL("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET FALSE GRANTED BY {}")
        conn.execute(grant.format(*map(sql.Identifier, (group, str(database.tenant), provisioner))))


def restrict(inside: psycopg.Connection) -> None:
    """Leave the functions to the groups in this database. Runs as the superuser, and nothing of a tenant's with it."""
    with inside.transaction():
        functions = inside.execute(_SIGNATURES, [_names()]).fetchall()
        for name, signature in functions:
            [group] = [group for group, names in FUNCTIONS.items() if name in names]
            function = sql.SQL("pg_catalog.") + sql.SQL(signature.removeprefix("pg_catalog."))
            inside.execute(sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(function))
            inside.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, sql.Identifier(group)))
        inside.execute("SET LOCAL allow_system_table_mods = on")
        oids = "SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.oid::regprocedure::text = ANY (%s)"
        found = [row[0] for row in inside.execute(oids, [[signature for _, signature in functions]]).fetchall()]
        inside.execute(_FORGET, [found])
        inside.execute(_REMEMBER, [found])


def source(connection: psycopg.Connection) -> str:
    """The database that new ones are made of; PostgreSQL's own where the installer has not run since there is one."""
    query = "SELECT datname::text FROM pg_catalog.pg_database WHERE datname = %s AND datistemplate"
    row = connection.execute(query, [TEMPLATE]).fetchone()
    return str(row[0]) if row else "template0"


@contextlib.contextmanager
def allowed(connection: psycopg.Connection, tenant: str) -> Iterator[None]:
    """Let a tenant make large objects meanwhile, whose database is too large: a dump that is loaded may have some."""
    row = connection.execute(_MAY_GIVE, [MAKE, MAKE, tenant]).fetchone()
    names = [sql.Identifier(MAKE), sql.Identifier(tenant)]
    if row is None or not row[0]:
        yield
        return
    connection.execute(sql.SQL("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET FALSE").format(*names))
    try:
        yield
    finally:
        connection.execute(sql.SQL("REVOKE {} FROM {}").format(*names))


def _names() -> list[str]:
    return [name for names in FUNCTIONS.values() for name in names]
