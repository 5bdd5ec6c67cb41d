# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which changes turn what a cluster has into what it should have. Pure: no connection, no clock, no files."""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg import sql

from . import scram
from .errors import TenantError
from .observed import Observed
from .tenants import TenantDatabase

GRANTS = ("CONNECT", "CREATE", "TEMPORARY")
DROP_INTERRUPTED = -2  # datconnlimit of a database whose DROP did not come to its end
_HIDDEN = sql.Literal("SCRAM-SHA-256$…")
_PUBLIC = sql.SQL("PUBLIC")

STATEMENT, HAND_OVER, TERMINATE = "statement", "hand over", "terminate"


@dataclass(frozen=True)
class Change:
    """One step. *shown* is for people and holds no secret; *statement* may."""

    shown: str
    statement: sql.Composed | None = field(default=None, repr=False)
    kind: str = STATEMENT


def changes(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """The ordered changes for one database; each prefix of them leaves it closed to everyone or complete.

    Raises TenantError if the name belongs to somebody else on this cluster.
    """
    _require_ours(current)
    if wanted.state == "absent":
        return _drop(current)
    interrupted = current.database_limit == DROP_INTERRUPTED
    found = Observed(current.name) if interrupted else current
    leftovers = [_statement("DROP DATABASE {} WITH (FORCE)", _name(wanted))] if interrupted else []
    return [*leftovers, *_role(current, wanted), *_database(found, wanted), *_close(current, wanted)]


def _require_ours(current: Observed) -> None:
    if current.foreign_role:
        raise TenantError("foreign_role", "A role of this name exists that the provisioner does not administer.")
    if current.foreign_database:
        raise TenantError("foreign_database", "A database of this name exists that the provisioner does not own.")


def _drop(current: Observed) -> list[Change]:
    name = sql.Identifier(current.name)
    steps = []
    if current.role and current.login:
        steps.append(_statement("ALTER ROLE {} NOLOGIN", name))
    if current.database:
        steps.append(_statement("DROP DATABASE {} WITH (FORCE)", name))
    if current.role:
        steps.append(_statement("DROP ROLE {}", name))
    return steps


def _role(current: Observed, wanted: TenantDatabase) -> list[Change]:
    name, login = _name(wanted), wanted.state == "present"
    if not current.role:
        return [_create_role(wanted)]
    steps = []
    if current.loose:
        steps.append(_statement("ALTER ROLE {} NOCREATEROLE NOCREATEDB VALID UNTIL 'infinity'", name))
    if current.login != login:
        steps.append(_statement("ALTER ROLE {} LOGIN" if login else "ALTER ROLE {} NOLOGIN", name))
    if current.role_limit != wanted.connection_limit:
        steps.append(_statement("ALTER ROLE {} CONNECTION LIMIT {}", name, sql.Literal(wanted.connection_limit)))
    if current.salt != scram.parse(wanted.verifier or ""):
        steps += [_secret("ALTER ROLE {} PASSWORD {}", wanted), _terminate(wanted.name)]
    return steps


def _create_role(wanted: TenantDatabase) -> Change:
    template = (
        "CREATE ROLE {} " + ("LOGIN" if wanted.state == "present" else "NOLOGIN") + " NOSUPERUSER NOCREATEDB"
        " NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {} PASSWORD {}"
    )
    return _secret(template, wanted, sql.Literal(wanted.connection_limit))


def _database(current: Observed, wanted: TenantDatabase) -> list[Change]:
    name, limit = _name(wanted), sql.Literal(wanted.connection_limit)
    steps = []
    if not current.database:
        template = "CREATE DATABASE {} TEMPLATE template0 STRATEGY WAL_LOG ALLOW_CONNECTIONS false CONNECTION LIMIT {}"
        steps.append(_statement(template, name, limit))
    others = current.others if current.database else ("public",)
    grantees = [_PUBLIC if other == "public" else sql.Identifier(other) for other in others]
    steps += [_statement("REVOKE ALL ON DATABASE {} FROM {}", name, grantee) for grantee in grantees]
    steps += _hand_over(current, wanted)
    if current.database and current.database_limit != wanted.connection_limit:
        steps.append(_statement("ALTER DATABASE {} CONNECTION LIMIT {}", name, limit))
    return steps


def _hand_over(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """Open the database; before that, give it to its tenant, who cannot connect until the very last grant."""
    name = _name(wanted)
    grant = _statement("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", name, name)
    enter = _statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
    opening = [] if current.open or wanted.state != "present" else [enter]
    if "CREATE" in current.grants and wanted.name not in current.others:
        return ([] if set(current.grants) == set(GRANTS) else [grant]) + opening
    shown = f'GRANT "{wanted.name}" TO CURRENT_USER; ALTER SCHEMA public OWNER TO "{wanted.name}"; REVOKE'
    entering = [] if current.open else [enter]
    return [*entering, Change(shown, kind=HAND_OVER), grant]


def _close(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """What a stopped database needs last: the door shut, then everyone out."""
    if wanted.state != "stopped":
        return []
    entered = "CREATE" not in current.grants or current.database_limit == DROP_INTERRUPTED
    shut = [_statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", _name(wanted))] if current.open or entered else []
    return shut + ([_terminate(wanted.name)] if shut or current.backends else [])


def _terminate(name: str) -> Change:
    return Change(f'End the sessions of "{name}"', kind=TERMINATE)


def _name(wanted: TenantDatabase) -> sql.Identifier:
    return sql.Identifier(wanted.name)


def _statement(template: str, *values: sql.Composable) -> Change:
    statement = sql.SQL(template).format(*values)
    return Change(statement.as_string(None), statement)


def _secret(template: str, wanted: TenantDatabase, *values: sql.Composable) -> Change:
    shown = sql.SQL(template).format(_name(wanted), *values, _HIDDEN).as_string(None)
    statement = sql.SQL(template).format(_name(wanted), *values, sql.Literal(wanted.verifier))
    return Change(shown, statement)
