# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings that a tenant gave its role (`ALTER ROLE … SET`, `… IN DATABASE … SET`), kept through dumps and swaps.

In a dump they are carried out only in a restore that says what becomes of the database (`dbhost.into`): a program of
somebody else's that loads the file keeps its own role as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from . import dollar_quotes, postgres
from .postgres import Cluster
from .tenant_session import TenantSession

_STEP = "Keep the settings of roles"
# Whose values are lists of names: one literal for each, or the list would become one name.
_LISTS = frozenset(
    ("local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces", "createrole_self_grant")
)
# The service's own word, for the database as a whole.
_OURS = "default_transaction_read_only"
_READ = """
SELECT json_build_object(
  'role', coalesce((SELECT to_json(s.setconfig) FROM pg_db_role_setting AS s
                     WHERE s.setrole = r.oid AND s.setdatabase = 0), '[]'),
  'database', coalesce((SELECT to_json(s.setconfig) FROM pg_db_role_setting AS s JOIN pg_database AS d
                            ON d.oid = s.setdatabase
                         WHERE s.setrole = r.oid AND d.datname = current_database()), '[]'))
  FROM pg_roles AS r WHERE r.rolname = $tenant
"""
_OF_DATABASE = """
SELECT coalesce(r.rolname::text, ''), s.setconfig FROM pg_catalog.pg_db_role_setting AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
 WHERE d.datname = %s ORDER BY 1
"""
_BLOCK = """
DECLARE
  part jsonb;
BEGIN
  FOR part IN SELECT value FROM pg_catalog.jsonb_array_elements({settings}) LOOP
    CONTINUE WHEN NOT coalesce(part -> 0 ? current_setting('dbhost.into', true), false);
    BEGIN
      EXECUTE CASE WHEN (part ->> 1)::boolean
        THEN pg_catalog.format('ALTER ROLE CURRENT_USER IN DATABASE %I ', pg_catalog.current_database())
        ELSE 'ALTER ROLE CURRENT_USER ' END || (part ->> 2);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'left out: a setting of the role: %', SQLERRM;
    END;
  END LOOP;
END
"""

Settings = Mapping[str, Sequence[str]]


def read(session: TenantSession, tenant: str) -> Settings:
    """The tenant role's settings everywhere (`role`) and in this database, each `name=value`."""
    found: Settings = json.loads(session.ask(_READ.replace("$tenant", f"'{tenant}'"), "Read the settings of the role"))
    return found


def section(found: Settings) -> Iterator[bytes]:
    """The SQL that makes them again: a new role gets all of them, one that stays keeps those it has everywhere."""
    parts = [[["new"], False, assignment(own)] for own in found["role"]]
    parts += [[["new", "replace"], True, assignment(own)] for own in found["database"]]
    if parts:
        body = _BLOCK.replace("{settings}", dollar_quotes.literal(json.dumps(parts)))
        yield b"\n--\n-- Settings of the role, for a restore by DBHost.\n--\n"
        yield f"\nDO {dollar_quotes.quoted(body)};\n".encode()


def assignment(own: str) -> str:
    """The end of the ALTER that makes a setting `name=value`."""
    name, _, value = own.partition("=")
    values = listed(value) if name in _LISTS else [value]
    literals = ", ".join(_literal(one) for one in values) or "''"
    return f"SET {'.'.join(dollar_quotes.identifier(part) for part in name.split('.'))} TO {literals}"


def search_path(found: Settings) -> list[str]:
    """Where the tenant's own sessions look for names."""
    for own in (*found["database"], *found["role"]):
        if own.startswith("search_path="):
            return listed(own.partition("=")[2])
    return ["$user", "public"]


def listed(value: str) -> list[str]:
    """The names of a list as PostgreSQL keeps it: `"$user", public`."""
    names, place = [], 0
    while place < len(value):
        if value[place] in ", ":
            place += 1
        elif value[place] == '"':
            name, place = _quoted(value, place + 1)
            names.append(name)
        else:
            end = value.find(",", place)
            end = len(value) if end < 0 else end
            names.append(value[place:end].strip())
            place = end
    return names


def _quoted(value: str, place: int) -> tuple[str, int]:
    name = ""
    while place < len(value):
        if value[place] != '"':
            name += value[place]
        elif value[place + 1 : place + 2] == '"':
            name, place = name + '"', place + 1
        else:
            return name, place + 1
        place += 1
    return name, place


def _literal(value: str) -> str:
    """Whatever standard_conforming_strings says."""
    doubled = value.replace("'", "''").replace("\\", "\\\\")
    return (" E'" if "\\" in value else "'") + doubled + "'"


def carry_over(cluster: Cluster, live: str, new: str) -> None:
    """Give everybody's settings in database *live* to *new*, which is to take its place."""
    try:
        with postgres.connect(cluster) as connection:
            for role, settings in connection.execute(_OF_DATABASE, [live]).fetchall():
                for own in settings:
                    if role or not own.startswith(f"{_OURS}="):
                        _set(connection, role, new, own)
    except psycopg.Error as error:
        raise postgres.explain(error, _STEP) from None


def _set(connection: psycopg.Connection, role: str, database: str, own: str) -> None:
    """One setting; what only a superuser may set is the operator's to set again."""
    head = sql.SQL("ALTER ROLE {} IN DATABASE {} ") if role else sql.SQL("ALTER DATABASE {} ")
    names = [sql.Identifier(name) for name in ([role, database] if role else [database])]
    try:
        with connection.transaction():
            connection.execute(head.format(*names).as_bytes(connection) + assignment(own).encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DataError, psycopg.errors.ProgrammingError):
        return
