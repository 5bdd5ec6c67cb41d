# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statistics of what has just been loaded, so that its first queries are planned well."""

from __future__ import annotations

from .dump_user import DumpUser
from .errors import TenantError
from .tenant_session import TenantSession

_STEP = "Read the statistics"
_ANALYZE_EACH = """
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP
    BEGIN
      EXECUTE 'ANALYZE ' || name;
    EXCEPTION WHEN OTHERS THEN
      NULL;
    END;
    COMMIT;
  END LOOP;
END $$
"""


def analyze(user: DumpUser, tenant: str, database: str) -> None:
    """Read the statistics; of a table whose index cannot be computed again there are none, as before."""
    try:
        with TenantSession(user, tenant, database) as session:
            session.ask("ANALYZE", _STEP)
    except TenantError:
        with TenantSession(user, tenant, database) as session:
            session.ask(_ANALYZE_EACH, _STEP)
