# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster has of some tenant databases: one query for all of them, and one for the salts of all roles."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psycopg
from psycopg.rows import class_row

from . import large_objects, members, salts_function, scram, scratch
from .errors import TenantError
from .members import ObservedMember

# Of *r*. pg_has_role goes through all memberships of the provisioner, which is in every tenant role, at each call. The
# grant that CREATE ROLE leaves behind is found by an index, so that the time for a list does not grow with its square.
_ADMINISTERED = """
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_auth_members AS own
                   WHERE own.roleid = r.oid AND own.member = me.oid AND own.admin_option)
     THEN true ELSE pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER WITH ADMIN OPTION') END
"""
# Roles and databases that the provisioner does not own are "foreign": reported, never touched.
# Of constants alone.
_QUERY = f"""
WITH backends AS MATERIALIZED (SELECT a.usesysid, a.datid FROM pg_catalog.pg_stat_activity AS a)
SELECT wanted.name,
       r.oid IS NOT NULL AS role,
       coalesce(r.rolsuper OR r.rolreplication OR r.rolbypassrls OR NOT ({_ADMINISTERED}), false) AS foreign_role,
       coalesce(r.rolcanlogin, false) AS login,
       coalesce(r.rolcreaterole OR r.rolcreatedb OR r.rolvaliduntil < 'infinity', false) AS loose,
       r.rolconnlimit AS role_limit,
       ARRAY(SELECT m.roleid::regrole::text FROM pg_catalog.pg_auth_members AS m WHERE m.member = r.oid) AS member_of,
       ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_roles AS g
              WHERE g.rolname = ANY (%s) AND pg_catalog.pg_has_role(current_user, g.oid, 'MEMBER WITH ADMIN OPTION')
              ORDER BY 1) AS groups,
       coalesce((SELECT t.datname::text FROM pg_catalog.pg_database AS t
                  WHERE t.datname = %s AND t.datistemplate), 'template0') AS template,
       d.oid IS NOT NULL AS database,
       coalesce(d.datdba <> me.oid, false) AS foreign_database,
       coalesce(d.datallowconn, false) AS open,
       d.datconnlimit AS database_limit,
       EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s
                WHERE s.setdatabase = d.oid AND s.setrole = 0
                  AND 'default_transaction_read_only=on' = ANY (s.setconfig)) AS read_only,
       EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s
                WHERE s.setdatabase = d.oid AND s.setrole = 0
                  AND 'log_min_messages=panic' = ANY (s.setconfig)) AS quiet,
       EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s, unnest(s.setconfig) AS own
                WHERE s.setrole = r.oid AND starts_with(own, 'default_transaction_read_only=')) AS own_read_only,
       ARRAY(SELECT acl.privilege_type FROM aclexplode(a.acl) AS acl
              WHERE acl.grantee = r.oid AND NOT acl.is_grantable ORDER BY 1) AS grants,
       ARRAY(SELECT DISTINCT coalesce(g.rolname::text, 'public')
               FROM aclexplode(a.acl) AS acl LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = acl.grantee
              WHERE acl.grantee <> d.datdba AND (acl.grantee IS DISTINCT FROM r.oid OR acl.is_grantable)
                AND NOT (acl.grantee IS NOT DISTINCT FROM v.oid  -- without viewers v.oid is null
                         AND acl.privilege_type = 'CONNECT' AND NOT acl.is_grantable)) AS others,
       v.oid IS NOT NULL AS viewers,
       ARRAY(SELECT acl.privilege_type FROM aclexplode(a.acl) AS acl WHERE acl.grantee = v.oid) AS viewers_grants,
       ARRAY(SELECT s.datname::text FROM pg_catalog.pg_database AS s
              WHERE s.datname IN (wanted.new, wanted.old, wanted.kept) AND s.datdba = me.oid ORDER BY 1) AS unfinished,
       (SELECT pg_catalog.count(*) FROM backends AS b WHERE b.usesysid = r.oid OR b.datid = d.oid)::int AS backends
  FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]),
                 pg_catalog.unnest(%s::text[])) AS wanted(name, new, old, kept)
  JOIN pg_catalog.pg_roles AS me ON me.rolname = current_user
  LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = wanted.name::name
  LEFT JOIN pg_catalog.pg_roles AS v ON v.rolname = (wanted.name || '.viewers')::name
  LEFT JOIN pg_catalog.pg_database AS d ON d.datname = wanted.name::name
 CROSS JOIN LATERAL (SELECT coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)) AS acl) AS a
"""  # noqa: S608  # nosec B608


_MEMBERS = f"""
SELECT wanted.name AS database, r.rolname::text AS role,
       r.rolsuper OR r.rolreplication OR r.rolbypassrls OR NOT ({_ADMINISTERED}) AS foreign_role,
       r.rolcanlogin AS login, r.rolconnlimit AS role_limit,
       ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members AS m
               JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid WHERE m.member = r.oid) AS member_of,
       ARRAY(SELECT unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting AS s
              WHERE s.setrole = r.oid AND s.setdatabase = 0) AS settings
  FROM pg_catalog.unnest(%s::text[]) AS wanted(name)
  JOIN pg_catalog.pg_roles AS me ON me.rolname = current_user
  JOIN pg_catalog.pg_roles AS r ON split_part(r.rolname::text, '.', 1) = wanted.name AND r.rolname::text <> wanted.name
 ORDER BY 1, 2
"""  # noqa: S608  # nosec B608


@dataclass(frozen=True)
class Observed:
    """One name's role and database as they are. *salt* is None where no probe was made."""

    name: str
    role: bool = False
    foreign_role: bool = False
    login: bool = False
    loose: bool = False
    role_limit: int | None = None
    member_of: tuple[str, ...] = ()
    database: bool = False
    foreign_database: bool = False
    open: bool = False
    database_limit: int | None = None
    read_only: bool = False
    own_read_only: bool = False
    # Nothing of it goes to the log of the cluster, be it data in messages or messages without end.
    quiet: bool = True
    grants: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    backends: int = 0
    salt: scram.Salt | None = None
    members: tuple[ObservedMember, ...] = ()
    viewers: bool = False
    held: Observed | None = None
    viewers_grants: tuple[str, ...] = ()
    # Which groups of the installer there are to be in, and the database that new ones are made of.
    groups: tuple[str, ...] = ()
    template: str = "template0"
    # Databases that a restore which was killed has left, or that one has kept aside.
    unfinished: tuple[str, ...] = ()


def observe(connection: psycopg.Connection, names: Iterable[str], endpoint: scram.Endpoint) -> dict[str, Observed]:
    """What the cluster has of *names*. Verifiers are known by their salts: the provisioner cannot read them."""
    asked = [scratch.names_of(name) for name in names]
    own = [list(large_objects.GROUPS), large_objects.TEMPLATE]
    lists = [[getattr(one, word) for one in asked] for word in ("live", "new", "old", "kept")]
    with connection.cursor(row_factory=class_row(Observed)) as cursor:
        rows = cursor.execute(_QUERY, [*own, *lists]).fetchall()
    found = _members(connection, [row.name for row in rows])
    ours = [replace(row, members=tuple(found.get(row.name, ()))) for row in rows if row.role and not row.foreign_role]
    salts = _salts(connection, ours, endpoint)
    return {row.name: row for row in rows} | {row.name: _with_salts(row, salts) for row in ours}


def _members(connection: psycopg.Connection, names: list[str]) -> dict[str, list[ObservedMember]]:
    """The member roles of each of *names*; a role that only looks like one is no member's."""
    found: dict[str, list[ObservedMember]] = {}
    for database, role, foreign, login, limit, member_of, settings in connection.execute(_MEMBERS, [names]).fetchall():
        if members.is_member_role(role, database):
            member = ObservedMember(role, foreign, login, limit, tuple(member_of), tuple(settings))
            found.setdefault(database, []).append(member)
    return found


def _with_salts(row: Observed, salts: dict[str, scram.Salt]) -> Observed:
    own = [replace(member, salt=salts.get(member.role)) for member in row.members]
    return replace(row, salt=salts.get(row.name), members=tuple(own), viewers_grants=tuple(row.viewers_grants))


def _salts(connection: psycopg.Connection, rows: list[Observed], endpoint: scram.Endpoint) -> dict[str, scram.Salt]:
    """The salt of every role of *rows*: from the installer's function, or on a host without it by a login for each.

    One begins to log in whatever the function says: what is not served at the loopback address is not there to clients.
    """
    asked = [(role, row.name) for row in rows for role in (row.name, *(member.role for member in row.members))]
    if not asked:
        return {}
    known = salts_function.read(connection, [role for role, _ in asked])
    if known is not None:
        _salt(endpoint, *asked[0])
        return known
    with ThreadPoolExecutor(4) as pool:
        probed = pool.map(lambda pair: _salt(endpoint, *pair), asked)
        return {role: salt for (role, _), salt in zip(asked, probed, strict=True)}


def _salt(endpoint: scram.Endpoint, role: str, database: str) -> scram.Salt:
    try:
        return scram.probe(endpoint, role, database)
    except (scram.Refused, OSError):
        raise TenantError(
            "postgres_unavailable",
            "PostgreSQL does not take logins on its loopback address.",
            retryable=True,
            step="Read the salts of the tenant roles",
        ) from None
