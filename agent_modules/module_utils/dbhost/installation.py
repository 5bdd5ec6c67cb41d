# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the installer gives a cluster: the provisioner's role and rights, and closed databases of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from . import large_objects, salts_function, schema_signal, sessions_function, statements_view
from .unprepared import Unprepared

PROVISIONER_MEMBERSHIPS = frozenset({"pg_signal_backend", "pg_use_reserved_connections"})
# What a tenant cannot change of its own database, and the provisioner can.
PROVISIONER_SETTINGS = frozenset({"temp_file_limit", "log_min_messages"})
OWN_DATABASES = ("postgres", "template1")


@dataclass(frozen=True)
class Installation:
    """What a cluster has. *attributes*: login, createrole, createdb, super, replication, bypassrls; None: no role."""

    attributes: tuple[bool, ...] | None
    memberships: frozenset[str]
    settable: frozenset[str]
    may_connect: bool
    open_databases: frozenset[str]
    loaded_at: float
    counts_statements: bool = True
    reader: tuple[bool, ...] | None = None
    sessions_function: str | None = sessions_function.BODY
    salts_function: str | None = salts_function.BODY
    groups: frozenset[str] = frozenset(large_objects.GROUPS)
    administered: frozenset[str] = frozenset(large_objects.GROUPS)
    template: bool = True
    statements_group: bool = True
    watcher: tuple[bool, ...] | None = schema_signal.WATCHER_ATTRIBUTES
    watcher_may_connect: bool = True


WANTED_ATTRIBUTES = (True, True, True, False, False, False)
# Who reads tables whose owner is bound by policies, as long as it is made a member of that owner; see reading.py.
READER = "dbhost_reader"
READER_ATTRIBUTES = (True, False, False, False, False, True)

# Of constants alone.
_OBSERVE = f"""
SELECT (SELECT array[rolcanlogin, rolcreaterole, rolcreatedb, rolsuper, rolreplication, rolbypassrls]
        FROM pg_catalog.pg_roles WHERE rolname = %(role)s),
       array(SELECT granted.rolname::text FROM pg_catalog.pg_auth_members m
             JOIN pg_catalog.pg_roles granted ON granted.oid = m.roleid
             JOIN pg_catalog.pg_roles member ON member.oid = m.member
             WHERE member.rolname = %(role)s),
       array(SELECT p.parname FROM pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) a
             JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
             WHERE a.privilege_type = 'SET' AND r.rolname = %(role)s),
       EXISTS (SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
               JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
               WHERE d.datname = 'postgres' AND a.privilege_type = 'CONNECT' AND r.rolname = %(role)s),
       array(SELECT datname::text FROM pg_catalog.pg_database d
             WHERE datname = ANY (%(own)s)
             AND EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(datacl, acldefault('d', datdba)))
                         WHERE grantee = 0)),
       extract(epoch FROM pg_catalog.pg_conf_load_time())::float8,
       EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_stat_statements'),
       (SELECT array[rolcanlogin, rolcreaterole, rolcreatedb, rolsuper, rolreplication, rolbypassrls]
        FROM pg_catalog.pg_roles WHERE rolname = %(reader)s),
       array(SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY (%(groups)s)),
       array(SELECT r.rolname::text FROM pg_catalog.pg_auth_members AS m
             JOIN pg_catalog.pg_roles AS r ON r.oid = m.roleid
             WHERE r.rolname = ANY (%(groups)s) AND m.admin_option
             AND m.member = pg_catalog.to_regrole(%(role)s)),
       EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = %(template)s AND datistemplate),
       pg_catalog.to_regrole(%(statements)s) IS NOT NULL,
       (SELECT array[rolcanlogin, rolcreaterole, rolcreatedb, rolsuper, rolreplication, rolbypassrls]
        FROM pg_catalog.pg_roles WHERE rolname = %(watcher)s),
       EXISTS (SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
               WHERE d.datname = 'postgres' AND a.privilege_type = 'CONNECT'
               AND a.grantee = pg_catalog.to_regrole(%(watcher)s)),
       {sessions_function.OBSERVE},
       {salts_function.OBSERVE}
"""  # noqa: S608  # nosec B608


def observe(conn: psycopg.Connection, provisioner: str) -> Installation:
    parameters = {
        "role": provisioner,
        "own": list(OWN_DATABASES),
        "reader": READER,
        "groups": list(large_objects.GROUPS),
        "template": large_objects.TEMPLATE,
        "statements": statements_view.GROUP,
        "watcher": schema_signal.WATCHER,
    }
    [row] = conn.execute(_OBSERVE, parameters).fetchall()
    attributes, memberships, settable, may_connect, open_databases, loaded_at, counts_statements, *more = row
    reader, groups, administered, template, statements_group, watcher, watcher_may_connect, sessions, salts = more
    return Installation(
        attributes=None if attributes is None else tuple(attributes),
        memberships=frozenset(memberships),
        settable=frozenset(settable),
        may_connect=may_connect,
        open_databases=frozenset(open_databases),
        loaded_at=loaded_at,
        counts_statements=counts_statements,
        reader=None if reader is None else tuple(reader),
        sessions_function=sessions,
        salts_function=salts,
        groups=frozenset(groups),
        administered=frozenset(administered),
        template=template,
        statements_group=statements_group,
        watcher=None if watcher is None else tuple(watcher),
        watcher_may_connect=watcher_may_connect,
    )


def changes(current: Installation, provisioner: str, files_changed_at: float) -> list[sql.Composed]:
    """The ordered statements that turn *current* into what is wanted. Pure."""
    role = sql.Identifier(provisioner)
    wanted: list[sql.Composed] = []
    if current.attributes is None:
        wanted.append(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB").format(role))
    elif current.attributes != WANTED_ATTRIBUTES:
        wanted.append(
            sql.SQL("ALTER ROLE {} LOGIN CREATEROLE CREATEDB NOSUPERUSER NOREPLICATION NOBYPASSRLS").format(role)
        )
    wanted += _role(READER, current.reader, READER_ATTRIBUTES, "LOGIN BYPASSRLS")
    wanted += _role(schema_signal.WATCHER, current.watcher, schema_signal.WATCHER_ATTRIBUTES, "LOGIN NOBYPASSRLS")
    wanted += [
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(name), role)
        for name in sorted(PROVISIONER_MEMBERSHIPS - current.memberships)
    ]
    wanted += [
        sql.SQL("GRANT SET ON PARAMETER {} TO {}").format(sql.Identifier(name), role)
        for name in sorted(PROVISIONER_SETTINGS - current.settable)
    ]
    wanted += [
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
        for name in sorted(current.open_databases)
    ]
    if not current.may_connect:
        wanted.append(sql.SQL("GRANT CONNECT ON DATABASE postgres TO {}").format(role))
    if not current.watcher_may_connect:
        watcher = sql.Identifier(schema_signal.WATCHER)
        wanted.append(sql.SQL("GRANT CONNECT ON DATABASE postgres TO {}").format(watcher))
    if not current.counts_statements:
        # Of the cluster's own database, which no tenant enters: what it counts is for the superuser.
        wanted.append(sql.SQL("CREATE EXTENSION pg_stat_statements WITH SCHEMA public").format())
    if not current.statements_group:
        wanted.append(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(statements_view.GROUP)))
    if current.sessions_function != sessions_function.BODY:
        wanted.append(sessions_function.make(provisioner))
    if current.salts_function != salts_function.BODY:
        wanted.append(salts_function.make(provisioner))
    wanted += _large_objects(current, role)
    if files_changed_at > current.loaded_at:
        wanted.append(sql.SQL("SELECT pg_catalog.pg_reload_conf()").format())
    return wanted


def _role(name: str, current: tuple[bool, ...] | None, wanted: tuple[bool, ...], attributes: str) -> list[sql.Composed]:
    """A role of ours that makes nothing."""
    if current == wanted:
        return []
    verb = sql.SQL("CREATE ROLE" if current is None else "ALTER ROLE")
    others = sql.SQL("NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION")
    return [sql.SQL("{} {} {} {}").format(verb, sql.Identifier(name), sql.SQL(attributes), others)]


def _large_objects(current: Installation, provisioner: sql.Identifier) -> list[sql.Composed]:
    """The groups that may make large objects, which the provisioner gives and takes, and the template."""
    wanted = []
    for group in large_objects.GROUPS:
        name = sql.Identifier(group)
        if group not in current.groups:
            wanted.append(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
        if group not in current.administered:
            grant = sql.SQL("GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
            wanted.append(grant.format(name, provisioner))
    if not current.template:
        database = sql.Identifier(large_objects.TEMPLATE)
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 IS_TEMPLATE true ALLOW_CONNECTIONS false")
        wanted += [create.format(database), sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database)]
    return wanted


Enter = Callable[[str], psycopg.Connection]


def prepare_databases(conn: psycopg.Connection, provisioner: str, enter: Enter, *, check: bool) -> list[str]:
    """What the superuser does inside the template and each older database, once; what was done."""
    restricted = restrict_large_objects(conn, provisioner, enter, check=check)
    shared = share_statements(conn, provisioner, enter, check=check)
    return [*restricted, *shared, *signal_schema_changes(conn, provisioner, enter, check=check)]


def restrict_large_objects(conn: psycopg.Connection, provisioner: str, enter: Enter, *, check: bool) -> list[str]:
    """Take the making of large objects from PUBLIC in each database where it still has it."""
    found = large_objects.pending(conn, provisioner)
    for database in [] if check else found:
        large_objects.admit(conn, database, provisioner)
        with _inside(conn, database, enter) as inside:
            large_objects.restrict(inside)
    return [database.shown() for database in found]


def share_statements(conn: psycopg.Connection, provisioner: str, enter: Enter, *, check: bool) -> list[str]:
    """Make the view of its own statements in each database that has none yet."""
    found = statements_view.pending(conn, provisioner)
    if found and not check:
        source = statements_view.source(conn)
        for database in found:
            with _inside(conn, database, enter) as inside:
                statements_view.make(inside, source)
    return [database.shown() for database in found]


def signal_schema_changes(conn: psycopg.Connection, provisioner: str, enter: Enter, *, check: bool) -> list[str]:
    """Have each database tell when its schema changes that does not yet."""
    found = schema_signal.pending(conn, provisioner)
    for database in [] if check else found:
        with _inside(conn, database, enter) as inside:
            schema_signal.install(inside)
    return [database.shown() for database in found]


@contextlib.contextmanager
def _inside(conn: psycopg.Connection, database: Unprepared, enter: Enter) -> Iterator[psycopg.Connection]:
    """A connection inside, for as long as the block lasts.

    A database that lets nobody in is opened meanwhile: no role of a stopped one can log in, nor of the template.
    """
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = sql.Identifier(database.name)
    if not database.is_open:
        conn.execute(allow.format(name, sql.SQL("true")))
    try:
        with enter(database.name) as inside:
            yield inside
    finally:
        if not database.is_open:
            conn.execute(allow.format(name, sql.SQL("false")))


def restart_needed(conn: psycopg.Connection, *, reloaded: bool) -> bool:
    """Whether a loaded setting waits for a new start. After a reload the server gets a moment to read the files."""
    if reloaded:
        time.sleep(0.2)
    [row] = conn.execute("SELECT EXISTS (SELECT FROM pg_catalog.pg_settings WHERE pending_restart)").fetchall()
    return bool(row[0])
