# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rights that people gave and took inside a tenant's database, as SQL that any role can load in any database.

pg_dump's own GRANTs name roles: loading them fails where a member is gone, and in a clone, which has another tenant
role. Here a role is named by what it is to the database: its owner, everybody, the viewers, a member. Each block looks
up who that is where it is loaded; what was given to somebody who is not there is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import dollar_quotes
from .tenant_session import TenantSession

OWNER, PUBLIC = "owner", "public"
_AT_ONCE = 200
_STEP = "Read the access rights"

# Of each object with rights of its own: how GRANT names it, whose it is, its rights, and what they would be without.
# What is an extension's stays as the extension makes it.
_QUERY = """
WITH objects AS (
  SELECT 'pg_namespace'::regclass AS class, n.oid, 'SCHEMA ' || quote_ident(n.nspname) AS target, '' AS "column",
         n.nspowner AS owner, n.nspacl AS acl,
         CASE WHEN n.nspname <> 'public' THEN acldefault('n', n.nspowner) END AS standard  -- public comes with more
    FROM pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT 'pg_class'::regclass, c.oid,
         CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || format('%I.%I', n.nspname, c.relname), '',
         c.relowner, c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT 'pg_class'::regclass, c.oid, 'TABLE ' || format('%I.%I', n.nspname, c.relname), quote_ident(a.attname),
         c.relowner, a.attacl, NULL
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND a.attacl IS NOT NULL AND NOT a.attisdropped
  UNION ALL
  SELECT 'pg_proc'::regclass, p.oid, 'ROUTINE ' || p.oid::regprocedure::text, '', p.proowner, p.proacl,
         acldefault('f', p.proowner)
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT 'pg_type'::regclass, t.oid, 'TYPE ' || format('%I.%I', n.nspname, t.typname), '', t.typowner, t.typacl,
         acldefault('T', t.typowner)
    FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT 'pg_largeobject'::regclass, l.oid, 'LARGE OBJECT ' || l.oid, '', l.lomowner, l.lomacl,
         acldefault('L', l.lomowner)
    FROM pg_largeobject_metadata AS l
  UNION ALL
  SELECT 'pg_default_acl'::regclass, d.oid,
         CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
         WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
         coalesce('IN SCHEMA ' || quote_ident(n.nspname), 'EVERYWHERE'), d.defaclrole, d.defaclacl,
         CASE WHEN n.oid IS NULL
              THEN acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)
              END
    FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
   WHERE d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = $tenant)
), exploded AS (
  SELECT o.class, o.target, o."column", o.oid,
         (SELECT coalesce(json_agg(json_build_array(
                   CASE WHEN a.grantee = 0 THEN 'public' WHEN a.grantee = o.owner THEN 'owner' END,
                   r.rolname, a.privilege_type, a.is_grantable)), '[]')
            FROM aclexplode(o.acl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee) AS rights,
         (SELECT coalesce(json_agg(json_build_array(
                   CASE WHEN a.grantee = 0 THEN 'public' ELSE 'owner' END, NULL, a.privilege_type, a.is_grantable)),
                 '[]')
            FROM aclexplode(o.standard) AS a) AS standard
    FROM objects AS o
   WHERE o.acl IS NOT NULL
     AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e')
)
SELECT coalesce(json_agg(json_build_array(target, "column", class = 'pg_default_acl'::regclass, rights, standard)
                ORDER BY class::oid, target, "column"), '[]')
  FROM exploded
"""

_BLOCK = """
DECLARE
  object jsonb;
  part jsonb;
  grantee text;
BEGIN
  FOR object IN SELECT value FROM pg_catalog.jsonb_array_elements({rights}) LOOP
    FOR part IN SELECT value FROM pg_catalog.jsonb_array_elements(object) LOOP
      grantee := CASE part ->> 0 WHEN 'owner' THEN 'CURRENT_USER' WHEN 'public' THEN 'PUBLIC'
        WHEN 'both' THEN 'PUBLIC, CURRENT_USER'
        ELSE (SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_roles AS r
               WHERE r.rolname = CASE WHEN pg_catalog.starts_with(part ->> 0, '.') THEN CURRENT_USER ELSE '' END
                                 || (part ->> 0)) END;
      CONTINUE WHEN grantee IS NULL;
      BEGIN
        EXECUTE (part ->> 1) || grantee || (part ->> 2);
      EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'left out: % %: %', part ->> 1, grantee, SQLERRM;
      END;
    END LOOP;
  END LOOP;
END
"""

_Rights = dict[str, set[tuple[str, bool]]]


def read(session: TenantSession, tenant: str) -> list[Any]:
    """The rights as the query tells them; of the snapshot that *session* has."""
    found: list[Any] = json.loads(session.ask(_QUERY.replace("$tenant", f"'{tenant}'"), _STEP))
    return found


def section(found: Sequence[Any], tenant: str) -> Iterator[bytes]:
    """The SQL that gives them again, in parts of bounded size."""
    parts = [entry for one in found if (entry := _entry(one, tenant))]
    if parts:
        yield b"\n--\n-- Access rights. Who is not there where this is loaded is left out.\n--\n"
    for start in range(0, len(parts), _AT_ONCE):
        body = _BLOCK.replace("{rights}", dollar_quotes.literal(json.dumps(parts[start : start + _AT_ONCE])))
        yield f"\nDO {dollar_quotes.quoted(body)};\n".encode()


def _entry(one: Sequence[Any], tenant: str) -> list[list[str]]:
    """What is carried out for one object: who, the statement up to the name, and after it."""
    target, column, by_default, rights, standard = one
    given, usual = _by_grantee(rights, tenant), _by_grantee(standard, tenant)
    everything = {name for name, _ in usual.get(OWNER, ())}
    head = f"ALTER DEFAULT PRIVILEGES {column.removeprefix('EVERYWHERE')} " if by_default else ""
    column = "" if by_default else column
    changed = any(given.get(who, set()) != usual.get(who, set()) for who in (OWNER, PUBLIC))
    steps = [["both", f"{head}REVOKE ALL ON {target} FROM ", ""]] if changed and not column else []
    for who, listed in sorted(given.items()):
        if who in (OWNER, PUBLIC) and not changed:
            continue
        for grantable in (False, True):
            privileges = sorted(name for name, flag in listed if flag == grantable)
            if privileges:
                words = _words(privileges, everything, column)
                steps.append([who, f"{head}GRANT {words} ON {target} TO ", " WITH GRANT OPTION" if grantable else ""])
    return steps


def _words(privileges: list[str], everything: set[str], column: str) -> str:
    """ALL where it is all: a PostgreSQL of another version may have more or fewer."""
    if set(privileges) == everything:
        return "ALL"
    return ", ".join(f"{name} ({column})" if column else name for name in privileges)


def _by_grantee(rights: Sequence[Sequence[Any]], tenant: str) -> _Rights:
    found: _Rights = {}
    for known, role, privilege, grantable in rights:
        if who := known or _who(role, tenant):
            found.setdefault(who, set()).add((privilege, grantable))
    return found


def _who(role: str | None, tenant: str) -> str | None:
    """Another tenant is nobody here: it cannot come in, and a right would keep its role from being dropped."""
    if role is None:
        return None
    if role == tenant:
        return OWNER
    if role.startswith(f"{tenant}."):
        return role.removeprefix(tenant)
    return role if role.startswith("pg_") else None


def is_kept(manifest: Mapping[str, Any] | None) -> bool:
    """Whether the dump of *manifest* has the rights in it; those of older versions have not."""
    return manifest is not None and "grantees" in manifest
