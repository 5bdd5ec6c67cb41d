# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let a dump be loaded whose constraints and indexes call functions that need a search_path.

pg_dump's scripts empty the search_path, and CREATE INDEX sets one of its own. A function that names its tables or other
functions without their schema then finds none of them: the rows of a table whose CHECK calls it cannot be loaded. So
while the rows and indexes are loaded, such functions have a search_path of their own, and lose it again at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from . import dollar_quotes
from .tenant_session import TenantSession

# Functions without a search_path, in databases where something that is checked or computed on loading uses one.
_QUERY = """
WITH lacking AS (
  SELECT p.oid, n.nspname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang
   WHERE p.prokind IN ('f', 'w') AND l.lanname NOT IN ('c', 'internal') AND n.nspname !~ '^pg_'
     AND n.nspname <> 'information_schema'
     AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS own WHERE starts_with(own, 'search_path='))
     AND NOT EXISTS (SELECT FROM pg_depend AS e
                      WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
), used AS (
  SELECT FROM pg_depend AS d
   WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM lacking)
     AND (d.classid IN ('pg_constraint'::regclass, 'pg_class'::regclass, 'pg_attrdef'::regclass,
                        'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass)
          OR d.classid = 'pg_rewrite'::regclass AND EXISTS (
               SELECT FROM pg_rewrite AS w JOIN pg_class AS c ON c.oid = w.ev_class
                WHERE w.oid = d.objid AND c.relkind = 'm'))
)
SELECT json_build_object(
  'schemas', (SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_namespace
               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
  'functions', (SELECT coalesce(json_agg(json_build_array(nspname, oid::regprocedure::text) ORDER BY oid), '[]')
                  FROM lacking WHERE EXISTS (SELECT FROM used)))
"""


class Paths:
    """The functions that get one while a dump is loaded, and which: the tenant's, their own schema, all others."""

    def __init__(self, functions: Sequence[Sequence[str]], schemas: Sequence[str], usual: Sequence[str]) -> None:
        self._functions, self._schemas, self._usual = functions, schemas, usual

    @property
    def needed(self) -> bool:
        return bool(self._functions)

    def set(self) -> Iterator[bytes]:
        """The SQL for after the functions were made."""
        yield b"\n--\n-- Where functions look for names while rows and indexes are loaded.\n--\n\n"
        for schema, function in self._functions:
            path = dict.fromkeys([*self._usual, schema, *self._schemas])
            listed = ", ".join(dollar_quotes.literal(name) for name in path)
            yield f"ALTER FUNCTION {function} SET search_path TO {listed};\n".encode()

    def reset(self) -> Iterator[bytes]:
        """The SQL for the end: the functions are as they were."""
        yield b"\n--\n-- The functions are as they were.\n--\n\n"
        for _, function in self._functions:
            yield f"ALTER FUNCTION {function} RESET search_path;\n".encode()


def read(session: TenantSession, usual: Sequence[str]) -> Paths:
    """What there is to be done for the database of *session*, whose tenant looks for names in *usual*."""
    found: dict[str, Any] = json.loads(session.ask(_QUERY, "Look for functions that constraints use"))
    return Paths(found["functions"], found["schemas"], usual)
