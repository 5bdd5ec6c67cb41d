# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a database belongs to whom: every class of object that can have an owner, by PostgreSQL's own account.

The classes are those whose catalogs refer to pg_authid, which the server is asked for each time, so that a class
that a newer PostgreSQL brings is known too. `KINDS` says how the objects of each change hands.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from . import shown

# By ALTER … OWNER; by REASSIGN OWNED alone; or not at all: what a role said for itself goes.
ALTER, REASSIGN, DEFAULTS, MAPPING = "alter", "reassign", "defaults", "mapping"
KINDS = {
    "pg_class": ALTER,
    "pg_collation": ALTER,
    "pg_conversion": ALTER,
    "pg_default_acl": DEFAULTS,
    "pg_event_trigger": ALTER,
    "pg_extension": REASSIGN,
    "pg_foreign_data_wrapper": ALTER,
    "pg_foreign_server": ALTER,
    "pg_language": ALTER,
    "pg_largeobject_metadata": ALTER,
    "pg_namespace": ALTER,
    "pg_opclass": ALTER,
    "pg_operator": ALTER,
    "pg_opfamily": ALTER,
    "pg_proc": ALTER,
    "pg_publication": ALTER,
    "pg_statistic_ext": ALTER,
    "pg_subscription": ALTER,
    "pg_ts_config": ALTER,
    "pg_ts_dict": ALTER,
    "pg_type": ALTER,
    "pg_user_mapping": MAPPING,
}
# Shared catalogs, whose rows are no part of a database; subscriptions are shared and belong to one all the same.
CLUSTER_WIDE = frozenset({"pg_auth_members", "pg_database", "pg_db_role_setting", "pg_tablespace"})
# The words of ALTER where they are not the ones that PostgreSQL describes an object with.
_WORDS = {
    "aggregate": "ROUTINE",
    "composite type": "TYPE",
    "function": "ROUTINE",
    "procedure": "ROUTINE",
    "statistics object": "STATISTICS",
}
_DESCRIBED = ("ROUTINE", "TYPE", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "LARGE OBJECT")

_CATALOGS = """
SELECT f.fktable::regclass::text, f.fkcols[1] FROM pg_catalog.pg_get_catalog_foreign_keys() AS f
 WHERE f.pktable = 'pg_catalog.pg_authid'::regclass AND NOT f.is_array AND f.fktable::regclass::text <> ALL (%s)
 ORDER BY 1
"""
# What PostgreSQL calls an object's class, where that is not the catalog with its owner.
_CLASSES = {"pg_largeobject_metadata": "pg_largeobject"}
_SOURCES = {  # where a catalog cannot be read by everyone, or holds what follows its owner by itself or is PostgreSQL's
    "pg_class": "(SELECT * FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relpersistence <> 't'"
    " AND relnamespace <> 'pg_catalog'::regnamespace)",
    "pg_namespace": "(SELECT * FROM pg_namespace WHERE NOT starts_with(nspname, 'pg_'))",
    "pg_proc": "(SELECT * FROM pg_proc WHERE pronamespace <> 'pg_catalog'::regnamespace)",
    "pg_subscription": "(SELECT oid, subowner FROM pg_subscription"
    " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    "pg_user_mapping": "(SELECT umid AS oid, umuser FROM pg_user_mappings)",
}
# What belongs to an extension or is part of another object (a serial's sequence, a table's row type) is left out.
_FOREIGN = """
WITH objects AS ({objects})
SELECT o.catalog, o.oid::bigint AS oid, i.type AS description, i.identity,
       a.object_names AS names, r.rolname::text AS owner,
       r.rolname = current_user
         OR (r.rolname = 'pg_database_owner' AND d.datdba = current_user::regrole) AS ours,
       NOT r.rolsuper AND r.oid >= 16384
         AND pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION') AS administered,
       count(*) OVER ()::int AS total
  FROM objects AS o
  JOIN pg_roles AS r ON r.oid = o.owner
  JOIN pg_database AS d ON d.datname = current_database()
 CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) AS i
 CROSS JOIN LATERAL pg_identify_object_as_address(o.class, o.oid, 0) AS a
 WHERE i.identity IS NOT NULL AND r.rolname <> %(tenant)s
   AND (o.oid >= 16384 OR i.type = 'schema' AND i.identity = 'public')
   AND NOT (o.catalog = ANY (%(own)s)
            AND NOT (r.oid >= 16384 AND NOT r.rolsuper AND r.rolname <> current_user
                     AND pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION')))
   AND NOT EXISTS (SELECT FROM pg_depend AS e
                    WHERE e.classid = o.class AND e.objid = o.oid AND e.objsubid = 0
                      AND (e.deptype IN ('e', 'i')
                           OR i.type = 'sequence' AND e.deptype = 'a' AND e.refclassid = 'pg_class'::regclass))
 ORDER BY i.type = 'schema' DESC, i.type, i.identity, o.oid
 LIMIT %(limit)s
"""


@dataclass(frozen=True)
class Foreign:
    """An object in a tenant's database that another role owns."""

    catalog: str
    oid: int
    description: str
    identity: str
    names: list[str]
    owner: str
    ours: bool
    administered: bool
    total: int

    @property
    def kind(self) -> str:
        """The words that ALTER has for it."""
        return _WORDS.get(self.description, self.description.upper())

    @property
    def key(self) -> tuple[str, int]:
        return self.catalog, self.oid

    def shown(self) -> str:
        """The object as ALTER names it, for people."""
        plain = KINDS.get(self.catalog) == ALTER and self.kind not in _DESCRIBED
        return f"{self.kind} {shown.identifier(*self.names) if plain else self.identity}"

    def alter(self, tenant: str) -> sql.Composed:
        """The statement that gives the object to *tenant*. PostgreSQL itself quoted the identity."""
        described = self.kind in _DESCRIBED
        name = sql.SQL(self.identity) if described else sql.Identifier(*self.names)
        words = sql.SQL(self.kind)
        return sql.SQL("ALTER {} {} OWNER TO {}").format(words, name, sql.Identifier(tenant))


def catalogs(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Each catalog of this database whose rows have an owner, and the column that names it."""
    return connection.execute(_CATALOGS, [sorted(CLUSTER_WIDE)]).fetchall()


def foreign(connection: psycopg.Connection, tenant: str, limit: int | None = None) -> list[Foreign]:
    """What in this database belongs to neither *tenant*, nor an extension, nor PostgreSQL; *limit* of them at most."""
    one = "SELECT '{0}' AS catalog, '{3}'::regclass::oid AS class, o.oid, o.{1} AS owner FROM {2} AS o"
    listed = [
        one.format(table, column, _SOURCES.get(table, table), _CLASSES.get(table, table))
        for table, column in catalogs(connection)
    ]
    query = _FOREIGN.format(objects=" UNION ALL ".join(listed))
    own = [catalog for catalog, kind in KINDS.items() if kind != ALTER]
    with connection.cursor(row_factory=class_row(Foreign)) as cursor:
        parameters = {"tenant": tenant, "own": own, "limit": limit}
        return cursor.execute(query, parameters).fetchall()
