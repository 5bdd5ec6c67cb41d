# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give a tenant what is in its database: the schema public when it is new, foreign objects when repair is asked for.

Works without a superuser. For the length of one transaction the provisioner is a member of the roles concerned;
no other session ever sees those memberships. Only catalogs are read, and ALTER … OWNER runs none of a
tenant's code (event triggers take a superuser to make).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from psycopg import errors, sql
from psycopg.rows import class_row

from . import shown

# What belongs to an extension, to PostgreSQL itself or to another object (a serial's sequence, a table's row
# type) follows its owner and is left alone. ALTER ROUTINE takes functions, procedures and aggregates alike.
_FOREIGN = """
WITH objects AS (
  SELECT 'SCHEMA' AS kind, 'pg_namespace'::regclass AS class, n.oid, n.nspowner AS owner,
         NULL::name AS schema, n.nspname AS name, NULL::oidvector AS arguments
    FROM pg_namespace AS n
   WHERE NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
         WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
         'pg_class'::regclass, c.oid, c.relowner, n.nspname, c.relname, NULL
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't'
  UNION ALL
  SELECT 'ROUTINE', 'pg_proc'::regclass, p.oid, p.proowner, n.nspname, p.proname, p.proargtypes
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
  UNION ALL
  SELECT 'TYPE', 'pg_type'::regclass, t.oid, t.typowner, n.nspname, t.typname, NULL
    FROM pg_type AS t
    JOIN pg_namespace AS n ON n.oid = t.typnamespace
    LEFT JOIN pg_class AS c ON c.oid = t.typrelid
   WHERE t.typtype <> 'm' AND (c.relkind IS NULL OR c.relkind = 'c')
     AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = t.oid)
  UNION ALL
  SELECT 'STATISTICS', 'pg_statistic_ext'::regclass, s.oid, s.stxowner, n.nspname, s.stxname, NULL
    FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace
  UNION ALL
  SELECT 'COLLATION', 'pg_collation'::regclass, o.oid, o.collowner, n.nspname, o.collname, NULL
    FROM pg_collation AS o JOIN pg_namespace AS n ON n.oid = o.collnamespace
)
SELECT o.kind, o.schema::text, o.name::text, r.rolname::text AS owner,
       r.rolname = current_user
         OR (r.rolname = 'pg_database_owner' AND d.datdba = current_user::regrole) AS ours,
       NOT r.rolsuper AND r.oid >= 16384
         AND pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION') AS administered,
       ARRAY(SELECT ARRAY[n.nspname::text, t.typname::text]
               FROM unnest(o.arguments) WITH ORDINALITY AS a(type, position)
               JOIN pg_type AS t ON t.oid = a.type
               JOIN pg_namespace AS n ON n.oid = t.typnamespace
              ORDER BY a.position) AS arguments
  FROM objects AS o
  JOIN pg_roles AS r ON r.oid = o.owner
  JOIN pg_database AS d ON d.datname = current_database()
 WHERE r.rolname <> %s AND (o.oid >= 16384 OR (o.kind = 'SCHEMA' AND o.name = 'public'))
   AND NOT EXISTS (SELECT FROM pg_depend AS e
                    WHERE e.classid = o.class AND e.objid = o.oid
                      AND (e.deptype = 'e' AND e.refclassid = 'pg_extension'::regclass
                           OR o.kind = 'SEQUENCE' AND e.deptype IN ('a', 'i') AND e.refclassid = 'pg_class'::regclass))
 ORDER BY o.kind = 'SCHEMA' DESC, o.kind, o.schema, o.name, o.oid
"""


@dataclass(frozen=True)
class Foreign:
    """An object in a tenant's database that another role owns."""

    kind: str
    schema: str | None
    name: str
    owner: str
    ours: bool
    administered: bool
    arguments: list[list[str]]

    def path(self) -> list[str]:
        """The parts of the object's qualified name."""
        return [self.schema, self.name] if self.schema else [self.name]

    def shown(self) -> str:
        """The object as ALTER names it, for people."""
        arguments = ", ".join(shown.identifier(*part) for part in self.arguments)
        return f"{self.kind} {shown.identifier(*self.path())}" + (f"({arguments})" if self.kind == "ROUTINE" else "")

    def alter(self, tenant: str) -> sql.Composed:
        """The statement that gives the object to *tenant*."""
        name: sql.Composable = sql.Identifier(*self.path())
        if self.kind == "ROUTINE":
            arguments = sql.SQL(", ").join(sql.Identifier(*part) for part in self.arguments)
            name = sql.SQL("{}({})").format(name, arguments)
        return sql.SQL("ALTER {} {} OWNER TO {}").format(sql.SQL(self.kind), name, sql.Identifier(tenant))


@dataclass
class Repaired:
    """What a repair did (in check mode: would do), and what it must leave to a person."""

    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def hand_over_public(connection: psycopg.Connection, tenant: str) -> None:
    """Give a new database's schema public to *tenant*; nothing to do if that has been done."""
    with connection.transaction():
        _alter_all(connection, tenant, [item for item in foreign(connection, tenant) if item.ours and _is_public(item)])


def repair(connection: psycopg.Connection, tenant: str, *, check: bool) -> Repaired:
    """Give every foreign-owned object to *tenant*, as far as the provisioner may."""
    with connection.transaction():
        found = foreign(connection, tenant)
        movable = [item for item in found if item.ours or item.administered]
        moved = movable if check else _alter_all(connection, tenant, movable)
    stuck = [item for item in found if item not in moved]
    return Repaired(
        [f"ALTER {item.shown()} OWNER TO {shown.identifier(tenant)}" for item in moved],
        [f"{item.shown()} belongs to {item.owner}; left alone." for item in stuck],
    )


def foreign(connection: psycopg.Connection, tenant: str) -> list[Foreign]:
    """What in this database belongs to neither *tenant*, nor an extension, nor PostgreSQL."""
    with connection.cursor(row_factory=class_row(Foreign)) as cursor:
        return cursor.execute(_FOREIGN, [tenant]).fetchall()


def _is_public(item: Foreign) -> bool:
    return item.kind == "SCHEMA" and item.name == "public"


def _alter_all(connection: psycopg.Connection, tenant: str, items: list[Foreign]) -> list[Foreign]:
    """Those of *items* that now belong to *tenant*."""
    if not items:
        return []
    names = [sql.Identifier(role) for role in (tenant, *sorted({item.owner for item in items if not item.ours}))]
    for name in names:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE").format(name))
    moved = [item for item in items if _alter(connection, tenant, item)]
    for name in names:
        connection.execute(sql.SQL("REVOKE {} FROM CURRENT_USER GRANTED BY CURRENT_USER").format(name))
    return moved


def _alter(connection: psycopg.Connection, tenant: str, item: Foreign) -> bool:
    """False if the tenant may not own it there: its schema belongs to a role that nobody here administers."""
    try:
        with connection.transaction():
            connection.execute(item.alter(tenant))
    except errors.InsufficientPrivilege:
        return False
    return True
