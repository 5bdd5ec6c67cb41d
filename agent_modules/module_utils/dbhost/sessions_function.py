# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the watchdog may know of sessions, which only a superuser sees: a function of the cluster's own database."""

from __future__ import annotations

from psycopg import sql

# Times and sizes alone; no query, no address, no name but the role's. By the socket come dumps, restores and the agent.
# Parallel workers' files lie in a folder of their leader's.
BODY = """
WITH entries AS (
    SELECT 'base/pgsql_tmp/' || name AS path, pg_catalog.substring(name, '^pgsql_tmp([0-9]+)')::int AS pid
      FROM pg_catalog.pg_ls_dir('base/pgsql_tmp', true, false) AS name
     WHERE name ~ '^pgsql_tmp[0-9]+'
), files AS (
    SELECT e.pid, f.size FROM entries AS e, LATERAL pg_catalog.pg_stat_file(e.path, true) AS f
     WHERE e.path !~ '[.]fileset$'
    UNION ALL
    SELECT e.pid, f.size
      FROM entries AS e, LATERAL pg_catalog.pg_ls_dir(e.path, true, false) AS name,
           LATERAL pg_catalog.pg_stat_file(e.path || '/' || name, true) AS f
     WHERE e.path ~ '[.]fileset$'
), spilled AS (
    SELECT pid, pg_catalog.sum(size)::bigint AS bytes FROM files GROUP BY 1
)
SELECT a.pid, pg_catalog.pg_get_userbyid(a.usesysid)::text, a.client_port IS NOT DISTINCT FROM -1,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8,
       CASE WHEN a.state LIKE 'idle in transaction%'
            THEN extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8 END,
       coalesce(s.bytes, 0)
  FROM pg_catalog.pg_stat_get_activity(NULL) AS a
  LEFT JOIN spilled AS s ON s.pid = a.pid
 WHERE a.usesysid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
"""
OBSERVE = "(SELECT prosrc FROM pg_catalog.pg_proc WHERE oid = pg_catalog.to_regprocedure('dbhost.sessions()'))"
_MAKE = """
CREATE SCHEMA IF NOT EXISTS dbhost;
DROP FUNCTION IF EXISTS dbhost.sessions();
CREATE FUNCTION dbhost.sessions()
RETURNS TABLE (pid int, role text, by_socket boolean, transaction_s float8, idle_s float8, temporary_bytes bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' AS {body};
REVOKE ALL ON FUNCTION dbhost.sessions() FROM PUBLIC;
GRANT USAGE ON SCHEMA dbhost TO {role};
GRANT EXECUTE ON FUNCTION dbhost.sessions() TO {role}
"""


def make(provisioner: str) -> sql.Composed:
    """The function, for *provisioner* alone."""
    return sql.SQL(_MAKE).format(body=sql.Literal(BODY), role=sql.Identifier(provisioner))
