# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Materialized views of tables whose row security is forced: computed as their owner sees the tables.

pg_dump's scripts switch row security off, with which such a view cannot be computed at all by the tables' owner.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import dollar_quotes
from .tenant_session import TenantSession

# In the order in which one can be computed of the other.
_QUERY = """
WITH RECURSIVE views AS (
  SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, w.oid AS rule
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_rewrite AS w ON w.ev_class = c.oid AND w.rulename = '_RETURN'
   WHERE c.relkind = 'm' AND c.relispopulated
     AND EXISTS (SELECT FROM pg_class AS t WHERE t.relrowsecurity AND t.relforcerowsecurity)
), uses AS (
  SELECT w.ev_class AS of, d.refobjid AS used
    FROM pg_rewrite AS w JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
   WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
), reaching(of, used) AS (
  SELECT of, used FROM uses UNION SELECT r.of, u.used FROM reaching AS r JOIN uses AS u ON u.of = r.used
)
SELECT coalesce(json_agg(name ORDER BY below, name), '[]') FROM (
  SELECT v.name, (SELECT count(*) FROM reaching AS r JOIN views AS o ON o.oid = r.used WHERE r.of = v.oid) AS below
    FROM views AS v) AS ordered
"""
_BLOCK = """
BEGIN
  SET LOCAL row_security = on;
  REFRESH MATERIALIZED VIEW {name};
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'A materialized view was left without rows; refresh it. %', SQLERRM;
END
"""


@dataclass(frozen=True)
class Views:
    """Those that pg_dump is to leave without rows, and which are computed at the end of the script."""

    names: Sequence[str]

    def options(self) -> list[str]:
        """For pg_dump."""
        return [f"--exclude-table-data={name}" for name in map(_pattern, self.names)]

    def section(self) -> Iterator[bytes]:
        """The SQL that computes them."""
        if self.names:
            yield b"\n--\n-- Materialized views of tables with forced row security, as their owner sees these.\n--\n"
        for name in self.names:
            yield f"\nDO {dollar_quotes.quoted(_BLOCK.replace('{name}', name))};\n".encode()


def read(session: TenantSession) -> Views:
    """The views of the database of *session*."""
    found: list[Any] = json.loads(session.ask(_QUERY, "Look for materialized views"))
    return Views(found)


def _pattern(name: str) -> str:
    """A qualified name as pg_dump's patterns take it: quotes keep all but a dollar sign literal there."""
    return name
