# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""`pg_stat_statements` in each tenant database: the rows of that database and its own roles, and no others.

The extension itself would show every tenant's figures to each of them. So the installer makes a view over a function
that filters, in the template of new databases and once in each older one. Both are in pg_catalog, with what PostgreSQL
keeps of initial rights: pg_dump then writes nothing of them, and a dump can be loaded anywhere. Nothing resets.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from . import large_objects
from .unprepared import Unprepared

# May run the function, as everybody may: that the shared catalogs know of the grant says where the view already is.
# A body that changes needs another name here.
GROUP = "dbhost_statements"

_PENDING = """
SELECT d.datname::text, d.datallowconn FROM pg_catalog.pg_database AS d
 WHERE (d.datdba = pg_catalog.to_regrole(%(provisioner)s) OR d.datname = %(template)s) AND d.datconnlimit <> -2
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend AS s
                    WHERE s.dbid = d.oid AND s.classid = 'pg_catalog.pg_proc'::regclass AND s.deptype = 'a'
                      AND s.refobjid = pg_catalog.to_regrole(%(group)s)::oid)
 ORDER BY d.datname <> %(template)s, 1
"""
# As the extension of the cluster's own database has it: its columns differ between releases.
_SOURCE = """
SELECT p.probin, p.prosrc, pg_catalog.pg_get_function_arguments(p.oid)
  FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
  JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_stat_statements'
 WHERE p.proname = 'pg_stat_statements'
"""
# Bound when it is made (BEGIN ATOMIC): no search_path of the caller's decides what a name in it means.
_ALL = """
CREATE OR REPLACE FUNCTION pg_catalog.dbhost_all_statements({arguments}) RETURNS SETOF record
LANGUAGE c STRICT VOLATILE PARALLEL SAFE AS {library}, {symbol}
"""
_OWN = """
CREATE OR REPLACE FUNCTION pg_catalog.dbhost_statements({columns}) RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' BEGIN ATOMIC
SELECT s.* FROM pg_catalog.dbhost_all_statements(true) AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid AND d.datname = pg_catalog.current_database()
  JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
 WHERE (r.rolname = d.datname OR pg_catalog.starts_with(r.rolname::text, d.datname::text || '.'))
   AND (r.rolname = SESSION_USER
        OR EXISTS (SELECT FROM pg_catalog.pg_roles AS o
                    WHERE o.rolname = d.datname AND pg_catalog.pg_has_role(SESSION_USER, o.oid, 'MEMBER')));
END
"""
_RIGHTS = """
REVOKE ALL ON FUNCTION pg_catalog.dbhost_all_statements(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.dbhost_statements() TO PUBLIC, {group};
CREATE OR REPLACE VIEW pg_catalog.pg_stat_statements AS SELECT * FROM pg_catalog.dbhost_statements();
GRANT SELECT ON pg_catalog.pg_stat_statements TO PUBLIC
"""
_OBJECTS = """
SELECT 'pg_catalog.pg_proc'::regclass AS class, p.oid, p.proacl AS acl FROM pg_catalog.pg_proc AS p
 WHERE p.proname IN ('dbhost_all_statements', 'dbhost_statements') AND p.pronamespace = 'pg_catalog'::regnamespace
UNION ALL
SELECT 'pg_catalog.pg_class'::regclass, c.oid, c.relacl FROM pg_catalog.pg_class AS c
 WHERE c.relname = 'pg_stat_statements' AND c.relnamespace = 'pg_catalog'::regnamespace
"""
# Of constants alone.
_FORGET = f"""
DELETE FROM pg_catalog.pg_init_privs AS i USING ({_OBJECTS}) AS o WHERE i.classoid = o.class AND i.objoid = o.oid
"""  # noqa: S608  # nosec B608
_REMEMBER = f"""
INSERT INTO pg_catalog.pg_init_privs (objoid, classoid, objsubid, privtype, initprivs)
SELECT o.oid, o.class, 0, 'i', o.acl FROM ({_OBJECTS}) AS o
"""  # noqa: S608  # nosec B608


class Pending(Unprepared):
    """A database that has no view yet."""

    def shown(self) -> str:
        return f'Show the statements of its own roles in "{self.name}"'


@dataclass(frozen=True)
class Source:
    """The extension's function: where its code is, and what it takes and returns."""

    library: str
    symbol: str
    arguments: str

    @property
    def columns(self) -> str:
        """The arguments that are results."""
        return self.arguments.partition(", ")[2]


def pending(conn: psycopg.Connection, provisioner: str) -> list[Pending]:
    """The databases that are without; the shared catalogs tell, none is entered."""
    parameters = {"provisioner": provisioner, "template": large_objects.TEMPLATE, "group": GROUP}
    return [Pending(*row) for row in conn.execute(_PENDING, parameters).fetchall()]


def source(conn: psycopg.Connection) -> Source:
    """What the extension of the cluster's own database has."""
    [row] = conn.execute(_SOURCE).fetchall()
    return Source(*row)


def make(inside: psycopg.Connection, found: Source) -> None:
    """Make functions and view in this database. Runs as the superuser, and nothing of a tenant's with it."""
    parts = {
        "arguments": sql.SQL(found.arguments),
        "columns": sql.SQL(found.columns),
        "library": sql.Literal(found.library),
        "symbol": sql.Literal(found.symbol),
        "group": sql.Identifier(GROUP),
    }
    with inside.transaction():
        inside.execute("SET LOCAL allow_system_table_mods = on")
        for statement in (_ALL, _OWN, _RIGHTS):
            inside.execute(sql.SQL(statement).format(**parts))
        inside.execute(_FORGET)
        inside.execute(_REMEMBER)
