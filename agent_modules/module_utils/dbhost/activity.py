# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether anything was written in a tenant's database since: a fingerprint of PostgreSQL's own counters of writes.

The counters of all tables, the system's own among them, change with every row, large object and definition that a
session writes, also one that is rolled back; sequences are read, since they count no rows. Tenants can neither reset
nor stop the counters. What a reset, a restart or a crash makes of them differs by its moment.

A session's counters come in when its transaction is over: before a snapshot is taken (see dumping.py), everything that
is in the fingerprint is in the snapshot; and once every session has ended, nothing is missing in it.
"""

from __future__ import annotations

from typing import Any

from .dump_user import DumpUser
from .tenant_session import TenantSession

# Left out: what is every database's, and what ANALYZE writes.
_FINGERPRINT = """
WITH counted AS (
  SELECT c.oid FROM pg_class AS c
   WHERE c.relkind IN ('r', 'm', 't') AND NOT c.relisshared
     AND c.oid NOT IN (SELECT unnest(ARRAY[a.oid, a.reltoastrelid]) FROM pg_class AS a
                        WHERE a.oid IN ('pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass))
), lines(line) AS (
  SELECT concat_ws(' ', 'table', oid, pg_stat_get_tuples_inserted(oid), pg_stat_get_tuples_updated(oid),
                   pg_stat_get_tuples_deleted(oid))
    FROM counted
  UNION ALL
  SELECT concat_ws(' ', 'sequence', c.oid,
                   query_to_xml(format('SELECT last_value, is_called FROM %I.%I', n.nspname, c.relname),
                                false, true, '')::text)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.relkind = 'S' AND c.relpersistence <> 't'
  UNION ALL
  SELECT concat_ws(' ', 'since', extract(epoch FROM pg_postmaster_start_time()),
                   extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()), extract(epoch FROM stats_reset))
    FROM pg_stat_database WHERE datname = current_database()
)
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM lines
 WHERE current_setting('track_counts')::boolean
"""

# PostgreSQL's own workers have no user.
_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
"""


def fingerprint(session: TenantSession) -> str | None:
    """What the counters say now; None where PostgreSQL keeps none. Not to be asked within a transaction: they stand
    still there."""
    return session.ask(_FINGERPRINT, "Read the counters of writes") or None


def read(user: DumpUser, name: str) -> dict[str, Any]:
    """The fingerprint, and how many other sessions are in the database: with any, it says nothing certain."""
    with TenantSession(user, name) as session:
        sessions = int(session.ask(_SESSIONS, "Count the sessions"))
        return {"name": name, "sessions": sessions, "activity": fingerprint(session), "error": None}
