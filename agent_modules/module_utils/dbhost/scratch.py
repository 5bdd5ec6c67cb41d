# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The database beside a tenant's own into which a dump is loaded, and the swap of the two by name.

What is replaced without a safety backup is kept aside for some days, under a third name, with nobody in it.

Both renames are one transaction: a kill leaves the old database under its name or the new one, never none.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from . import large_objects, ownership, postgres
from .errors import TenantError
from .postgres import Cluster

_TRIES = 20
KEPT_S = 7 * 24 * 3600
_OVER = """
SELECT d.datname::text FROM pg_catalog.pg_database AS d
  JOIN pg_catalog.pg_shdescription AS s ON s.objoid = d.oid AND s.classoid = 'pg_catalog.pg_database'::regclass
 WHERE starts_with(d.datname::text, 'dbhost-kept-') AND d.datdba = current_user::regrole
   AND pg_catalog.substring(s.description, '^kept until ([0-9]{1,12})$')::bigint < extract(epoch FROM now())
"""
_DATABASES = """
SELECT d.datname::text, d.datallowconn FROM pg_catalog.pg_database AS d
 WHERE d.datname = ANY (%s) AND d.datdba = current_user::regrole
"""
# Autovacuum's processes, which have no role, may be ended by a superuser alone, and by the change of name itself.
_TERMINATE = """
SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
 WHERE datname = ANY (%s) AND usename IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
"""


@dataclass(frozen=True)
class Names:
    """The names of a tenant's database on its way: its own, those of the new one and the old one, and of a kept one."""

    live: str
    new: str
    old: str
    kept: str


def names_of(tenant: str) -> Names:
    """Always the same for a tenant, so that what a killed run left is known again. No tenant can have such names."""
    mark = hashlib.sha256(tenant.encode()).hexdigest()[:16]
    return Names(tenant, f"dbhost-new-{mark}", f"dbhost-old-{mark}", f"dbhost-kept-{mark}")


def heal(cluster: Cluster, names: Names, *, is_public: bool) -> list[str]:
    """Remove what a killed restore left, and let clients in again where they should be; the changes made."""
    with postgres.connect(cluster) as connection:
        found = _present(connection, names)
        changes = []
        if names.old in found and names.live not in found:  # nobody of us leaves it so
            _execute(connection, "ALTER DATABASE {} RENAME TO {}", names.old, names.live)
            changes.append(f"Give {names.live} its name back")
            found = _present(connection, names)
        for name in (names.new, names.old):
            if name in found:
                _execute(connection, "DROP DATABASE {} WITH (FORCE)", name)
                changes.append(f"Drop {name}, which an earlier run left")
        if is_public and found.get(names.live) is False:  # killed between shutting it and the swap
            _execute(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS true", names.live)
            changes.append(f"Open {names.live}, which an earlier run shut")
    return changes


def require_live(cluster: Cluster, names: Names) -> None:
    """Raise TenantError unless the tenant has a database of ours on this cluster."""
    with postgres.connect(cluster) as connection:
        if names.live not in _present(connection, names):
            raise TenantError("no_database", "There is no such database on this host.")


def create(cluster: Cluster, names: Names, connection_limit: int) -> None:
    """An empty database for the tenant, made as databases.yml makes one; nobody else can enter it."""
    template = "CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG ALLOW_CONNECTIONS false CONNECTION LIMIT {}"
    try:
        with postgres.connect(cluster) as connection:
            new, source = sql.Identifier(names.new), sql.Identifier(large_objects.source(connection))
            connection.execute(sql.SQL(template).format(new, source, sql.Literal(connection_limit)))
            _execute(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", names.new)
            _execute(connection, "ALTER DATABASE {} SET log_min_messages = panic", names.new)
            _execute(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS true", names.new)
            with postgres.connect(cluster, names.new) as inside:
                ownership.hand_over_public(inside, names.live)
            _execute(connection, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", names.new, names.live)
    except psycopg.Error as error:
        raise postgres.explain(error, "Make a database beside the live one") from None


def repair(cluster: Cluster, names: Names) -> ownership.Repaired:
    """Give the tenant everything in the new database."""
    try:
        with postgres.connect(cluster, names.new) as inside:
            return ownership.repair(inside, names.live, check=False)
    except psycopg.Error as error:
        raise postgres.explain(error, "Repair ownership") from None


def swap(cluster: Cluster, names: Names, *, keep: bool = False) -> None:
    """Put the new database in the place of the live one, whose sessions are cut. All or nothing.

    Nothing of the live one is read, so that it may be damaged. *keep* keeps it aside as `names.kept`.
    """
    with postgres.connect(cluster) as connection:
        was_open = _present(connection, names).get(names.live)
        try:
            if keep:
                _execute(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", names.kept)
            _execute(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS false", names.live)
            _rename_both(connection, names, open_after=bool(was_open), keep=keep)
        except BaseException as error:
            _reopen(cluster, names, was_open=bool(was_open))
            if isinstance(error, psycopg.Error):
                raise postgres.explain(error, "Swap the databases") from None
            raise


def drop(cluster: Cluster, name: str) -> None:
    """Drop one of the two that are not live, with whoever is in it."""
    try:
        with postgres.connect(cluster) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise postgres.explain(error, f"Drop {name}") from None


def sweep(cluster: Cluster) -> list[str]:
    """Drop what was kept aside for long enough, of any tenant; the names."""
    try:
        with postgres.connect(cluster) as connection:
            over = [str(row[0]) for row in connection.execute(_OVER).fetchall()]
            for name in over:
                _execute(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    except psycopg.Error as error:
        raise postgres.explain(error, "Drop what was kept aside") from None
    return over


def size(connection: psycopg.Connection, name: str) -> int:
    """Bytes of a database on disk; 0 for none."""
    row = connection.execute(
        "SELECT pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database WHERE datname = %s", [name]
    ).fetchone()
    return int(row[0]) if row else 0


def _rename_both(connection: psycopg.Connection, names: Names, *, open_after: bool, keep: bool = False) -> None:
    for attempt in range(_TRIES):
        connection.execute(_TERMINATE, [[names.live, names.new]])
        try:
            with connection.transaction():
                if keep:
                    _note_end(connection, names.live)
                aside = names.kept if keep else names.old
                _execute(connection, "ALTER DATABASE {} RENAME TO {}", names.live, aside)
                _execute(connection, "ALTER DATABASE {} RENAME TO {}", names.new, names.live)
                if not open_after:
                    _execute(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS false", names.live)
            return
        except errors.ObjectInUse:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.1)


def _note_end(connection: psycopg.Connection, name: str) -> None:
    """A database does not know since when it has its name: the comment says until when it is kept."""
    until = sql.Literal(f"kept until {int(time.time() + KEPT_S)}")
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), until))


def _reopen(cluster: Cluster, names: Names, *, was_open: bool) -> None:
    """The live database lets clients in again, as it did before; the next converge would see to it too."""
    if was_open:
        with postgres.connect(cluster) as connection:
            if names.live in _present(connection, names):
                _execute(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS true", names.live)


def _present(connection: psycopg.Connection, names: Names) -> Mapping[str, bool]:
    """Which of them there are, and whether they let anybody in."""
    return dict(connection.execute(_DATABASES, [[names.live, names.new, names.old]]).fetchall())


def _execute(connection: psycopg.Connection, template: str, *identifiers: str) -> None:
    connection.execute(sql.SQL(template).format(*map(sql.Identifier, identifiers)))
