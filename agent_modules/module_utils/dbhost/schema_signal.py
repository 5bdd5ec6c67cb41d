# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a host learns that a tenant changed its schema: event triggers in each database, for `dbhost-reconnect`.

PgBouncer shares one prepared statement of the server between all clients, and never notices that a table looks
otherwise now. So the program has to tell it, and learns of it by the one thing that is cheap, at once seen in every
other database, and blocks nobody: the time at which a database's statistics were reset. The counters that are reset
are of a catalog that no one changes. Until the transaction commits, it also holds a lock that others can hold too.

The triggers belong to the superuser and are members of the extension plpgsql: pg_dump leaves them out, and no tenant
can change them. Which databases have them is told by the shared catalogs, as the one role that may execute the
function, which nobody can call: to have a new text in force everywhere, give it to another such role.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from . import large_objects
from .unprepared import Unprepared

# Reads the times, by the socket, and has no right but to enter the cluster's own database.
WATCHER = "dbhost_watcher"
WATCHER_ATTRIBUTES = (True, False, False, False, False, False)
# The lock's two numbers: the letters "dbho", and which of our locks it is.
LOCK = (0x6462686F, 1)
_FUNCTION = "dbhost_schema_changed"
# Not to be waited for; the counters are those of pg_am. Temporary tables are their own session's alone.
_BODY = f"""
DECLARE
    of_others boolean;
BEGIN
    IF TG_EVENT = 'sql_drop' THEN
        of_others := EXISTS (SELECT FROM pg_catalog.pg_event_trigger_dropped_objects() AS o WHERE NOT o.is_temporary);
    ELSE
        of_others := EXISTS (SELECT FROM pg_catalog.pg_event_trigger_ddl_commands() AS c
                              WHERE c.schema_name IS DISTINCT FROM 'pg_temp');
    END IF;
    IF of_others THEN
        PERFORM pg_catalog.pg_try_advisory_xact_lock_shared({LOCK[0]}, {LOCK[1]});
        PERFORM pg_catalog.pg_stat_reset_single_table_counters(2601);
    END IF;
END
"""  # noqa: S608  # nosec B608
# What a query's columns and types can change by: a name may also mean another thing than before.
_KINDS = ("AGGREGATE", "FOREIGN TABLE", "FUNCTION", "MATERIALIZED VIEW", "PROCEDURE", "SCHEMA", "TABLE", "TYPE", "VIEW")
_MADE = ("CREATE TABLE AS", "SELECT INTO", "CREATE DOMAIN", "CREATE EXTENSION", "CREATE CAST", "CREATE OPERATOR")
_CHANGED = ("ALTER DOMAIN", "ALTER EXTENSION", "ALTER ROUTINE", "CREATE RULE")
_DROPPED = ("DROP DOMAIN", "DROP EXTENSION", "DROP CAST", "DROP OPERATOR", "DROP ROUTINE", "DROP OWNED", "DROP RULE")
TAGS: Mapping[str, tuple[str, ...]] = {
    "ddl_command_end": (*(f"{verb} {kind}" for kind in _KINDS for verb in ("ALTER", "CREATE")), *_MADE, *_CHANGED),
    "sql_drop": (*(f"DROP {kind}" for kind in _KINDS), *_DROPPED),
}

_PENDING = """
SELECT d.datname::text, d.datallowconn FROM pg_catalog.pg_database AS d
 WHERE (d.datdba = pg_catalog.to_regrole(%(provisioner)s) OR d.datname = %(template)s) AND d.datconnlimit <> -2
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend AS s
                    WHERE s.dbid = d.oid AND s.classid = 'pg_catalog.pg_proc'::regclass AND s.deptype = 'a'
                      AND s.refobjid = pg_catalog.to_regrole(%(watcher)s)::oid)
 ORDER BY d.datname <> %(template)s, 1
"""
_FUNCTION_MADE = """
CREATE FUNCTION {function}() RETURNS event_trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {body}
"""


class Pending(Unprepared):
    """A database that does not signal yet."""

    def shown(self) -> str:
        return f'Have changes of the schema signalled in "{self.name}"'


def pending(conn: psycopg.Connection, provisioner: str) -> list[Pending]:
    """The databases that do not signal yet; the shared catalogs tell, none is entered."""
    parameters = {"provisioner": provisioner, "template": large_objects.TEMPLATE, "watcher": WATCHER}
    return [Pending(*row) for row in conn.execute(_PENDING, parameters).fetchall()]


def install(inside: psycopg.Connection) -> None:
    """Have this database signal. Runs as the superuser, and nothing of a tenant's with it."""
    function = sql.Identifier("pg_catalog", _FUNCTION)
    with inside.transaction():
        inside.execute(sql.SQL(_FUNCTION_MADE).format(function=function, body=sql.Literal(_BODY)))
        inside.execute(sql.SQL("REVOKE ALL ON FUNCTION {}() FROM PUBLIC").format(function))
        inside.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {}() TO {}").format(function, sql.Identifier(WATCHER)))
        inside.execute(sql.SQL("ALTER EXTENSION plpgsql ADD FUNCTION {}()").format(function))
        for event, tags in TAGS.items():
            trigger = sql.Identifier(f"{_FUNCTION}_{event}")
            create = sql.SQL("CREATE EVENT TRIGGER {} ON {} WHEN TAG IN ({}) EXECUTE FUNCTION {}()")
            listed = sql.SQL(", ").join(map(sql.Literal, tags))
            inside.execute(create.format(trigger, sql.SQL(event), listed, function))
            inside.execute(sql.SQL("ALTER EVENT TRIGGER {} ENABLE ALWAYS").format(trigger))
            inside.execute(sql.SQL("ALTER EXTENSION plpgsql ADD EVENT TRIGGER {}").format(trigger))
