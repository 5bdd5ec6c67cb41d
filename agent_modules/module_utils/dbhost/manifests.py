# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in a tenant's database, counted as the tenant: tables, rows, large objects, and a fingerprint of the schema.

The fingerprint leaves out the text of expressions: PostgreSQL writes some of them otherwise once they were reloaded.
It has names, types, keys, the source of functions, and which defaults, checks and policies there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Any

from .tenant_session import TenantSession

Manifest = dict[str, Any]

NAMED_TABLES = 500
SHOWN_DIFFERENCES = 20

# Neither PostgreSQL's own nor an extension's.
_OURS = """
  n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = '$catalog'::regclass AND e.objid = $alias.oid
                     AND e.deptype = 'e')"""
_RELATION = Template(_OURS).substitute(catalog="pg_class", alias="c")
_ROUTINE = Template(_OURS).substitute(catalog="pg_proc", alias="p")
_TYPE = Template(_OURS).substitute(catalog="pg_type", alias="t")

_COUNT = """
WITH counted AS MATERIALIZED (
  SELECT n.nspname || '.' || c.relname AS name,
         (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ONLY %I.%I', n.nspname, c.relname),
                                              false, true, '')))[1]::text::bigint AS rows
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND $relation
), named AS (SELECT name, rows FROM counted ORDER BY name COLLATE "C" LIMIT $limit)
SELECT jsonb_build_object(
  'tables', (SELECT count(*) FROM counted), 'rows', (SELECT coalesce(sum(rows), 0) FROM counted),
  'tables_rows', (SELECT coalesce(jsonb_object_agg(name, rows), '{}') FROM named),
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata))
"""

_FINGERPRINT = """
WITH relations AS MATERIALIZED (
  SELECT c.*, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.relpersistence <> 't' AND $relation
), lines(line) AS (
  SELECT concat_ws(' ', 'relation', quote_ident(nspname), quote_ident(relname), relkind, relpersistence,
                   relrowsecurity, relforcerowsecurity, relispartition, pg_get_partkeydef(oid), reloptions::text)
    FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
  UNION ALL
  SELECT concat_ws(' ', 'column', quote_ident(c.nspname), quote_ident(c.relname),
                   row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), quote_ident(a.attname),
                   format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated)
    FROM relations AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
  UNION ALL
  SELECT concat_ws(' ', 'constraint', quote_ident(c.nspname), quote_ident(c.relname), quote_ident(k.conname),
                   k.contype, k.condeferrable, k.condeferred, k.convalidated, k.confrelid::regclass::text,
                   k.confupdtype, k.confdeltype,
                   ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS key(number, place)
                           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = key.number
                          ORDER BY key.place)::text)
    FROM relations AS c JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype <> 'n'
  UNION ALL
  SELECT concat_ws(' ', 'index', quote_ident(c.nspname), quote_ident(c.relname), i.indrelid::regclass::text,
                   m.amname, i.indisunique, i.indisprimary, i.indnkeyatts, i.indpred IS NOT NULL,
                   ARRAY(SELECT coalesce(a.attname, '()') FROM unnest(i.indkey) WITH ORDINALITY AS key(number, place)
                           LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = key.number
                          ORDER BY key.place)::text)
    FROM relations AS c JOIN pg_index AS i ON i.indexrelid = c.oid AND i.indisvalid JOIN pg_am AS m ON m.oid = c.relam
  UNION ALL
  SELECT concat_ws(' ', 'trigger', quote_ident(c.nspname), quote_ident(c.relname), quote_ident(t.tgname),
                   t.tgtype, t.tgenabled, t.tgfoid::regproc::text)
    FROM relations AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal
  UNION ALL
  SELECT concat_ws(' ', 'policy', quote_ident(c.nspname), quote_ident(c.relname), quote_ident(p.polname),
                   p.polcmd, p.polpermissive)
    FROM relations AS c JOIN pg_policy AS p ON p.polrelid = c.oid
  UNION ALL
  SELECT concat_ws(' ', 'rule', quote_ident(c.nspname), quote_ident(c.relname), quote_ident(r.rulename), r.ev_type)
    FROM relations AS c JOIN pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'
  UNION ALL
  SELECT concat_ws(' ', 'sequence', quote_ident(c.nspname), quote_ident(c.relname), s.seqtypid::regtype::text,
                   s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
    FROM relations AS c JOIN pg_sequence AS s ON s.seqrelid = c.oid
  UNION ALL
  SELECT concat_ws(' ', 'routine', quote_ident(n.nspname), quote_ident(p.proname), p.prokind, l.lanname,
                   p.proargtypes::oid[]::regtype[]::text, p.prorettype::regtype::text, p.proretset, p.prosecdef,
                   p.proisstrict, p.provolatile, p.proconfig::text, md5(p.prosrc))
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
   WHERE $routine
  UNION ALL
  SELECT concat_ws(' ', 'type', quote_ident(n.nspname), quote_ident(t.typname), t.typtype,
                   format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull,
                   ARRAY(SELECT e.enumlabel FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)::text)
    FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
   WHERE t.typtype IN ('d', 'e', 'r') AND $type
  UNION ALL
  SELECT concat_ws(' ', 'extension', quote_ident(extname)) FROM pg_extension
)
SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM lines
"""

# What the roles that were given rights are to the tenant: `.viewers`, or a member's. Bounded: one could make many.
_GRANTEES = """
SELECT coalesce(json_agg(suffix ORDER BY suffix), '[]') FROM (
  SELECT DISTINCT substr(r.rolname, length($tenant) + 1) AS suffix
    FROM pg_shdepend AS s JOIN pg_roles AS r ON r.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
   WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND s.deptype = 'a' AND starts_with(r.rolname, $tenant || '.')
   LIMIT 1000) AS found
"""


def _statement(template: str) -> str:
    return Template(template).substitute(relation=_RELATION, routine=_ROUTINE, type=_TYPE, limit=NAMED_TABLES)


def count(session: TenantSession, tenant: str) -> Manifest:
    """The manifest of *tenant*'s database as *session* sees it; in a transaction of its own, all of one moment."""
    found: Manifest = json.loads(session.ask(_statement(_COUNT), "Count the rows"))
    grantees = json.loads(session.ask(_GRANTEES.replace("$tenant", f"'{tenant}'"), "Read who was given rights"))
    return found | {"schema_sha256": session.ask(_statement(_FINGERPRINT), "Read the schema"), "grantees": grantees}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """In what *found* is not what was *expected*, a sentence each; what only one of them has is not compared."""
    rows_before, rows_now = expected.get("tables_rows") or {}, found.get("tables_rows") or {}
    told = [
        f"{name}: {_rows(rows_before.get(name))} expected, {_rows(rows_now.get(name))} found."
        for name in sorted({*rows_before, *rows_now})
        if rows_before.get(name) != rows_now.get(name)
    ]
    told += [
        f"{expected[word]} {word.replace('_', ' ')} expected, {found[word]} found."
        for word in ("tables", "rows", "large_objects")
        if word in expected and word in found and expected[word] != found[word]
    ]
    if expected.get("schema_sha256") and expected["schema_sha256"] != found.get("schema_sha256"):
        told.append("The schema is not the same: its fingerprints differ.")
    return told[:SHOWN_DIFFERENCES]


def _rows(number: int | None) -> str:
    return "no such table" if number is None else f"{number} rows"
