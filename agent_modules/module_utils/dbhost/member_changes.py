# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which changes make the member roles of a database what they should be. Pure."""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from . import members, scram, shown
from .change import GRANT_VIEWERS, RELEASE, TERMINATE, Change, drop_role, secret, statement
from .errors import TenantError
from .members import Member, ObservedMember
from .observed import Observed
from .tenants import TenantDatabase


def shut(current: Observed) -> list[Change]:
    """No member logs in any more."""
    return [statement("ALTER ROLE {} NOLOGIN", member.role) for member in _ours(current) if member.login]


def shut_and_remove(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """Of a database that is closed: no member logs in, and those who are listed no more are gone.

    To give away what they own the database is opened for us alone; nobody else can log in to it.
    """
    removing = [step for member in _gone(current, wanted) for step in _remove(current, member)]
    if removing and not current.open:
        enter = statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", current.name)
        leave = statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", current.name)
        removing = [enter, *removing, leave]
    return [*shut(current), *removing]


def drop(current: Observed) -> list[Change]:
    """The roles themselves; their database is gone, and all that they owned with it."""
    group = [members.viewers(current.name)] if current.viewers else []
    return [drop_role(role) for role in [*(member.role for member in _ours(current)), *group]]


def converge(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """The changes in a database that is open; the last grant to the viewers says that all before it were made."""
    there = {member.role: member for member in current.members}
    steps = [step for member in _gone(current, wanted) for step in _remove(current, member)]
    if any(not member.writes for member in wanted.members):
        steps += _viewers(current)
    return steps + [step for member in wanted.members for step in _one(there.get(member.role), member, wanted)]


def _gone(current: Observed, wanted: TenantDatabase) -> list[ObservedMember]:
    listed = {member.role for member in wanted.members}
    return [member for member in _ours(current) if member.role not in listed]


def _ours(current: Observed) -> list[ObservedMember]:
    return [member for member in current.members if not member.foreign]


def _remove(current: Observed, member: ObservedMember) -> list[Change]:
    """What the member owns goes to the tenant role before the role goes."""
    name, role = current.name, member.role
    return [
        *([statement("ALTER ROLE {} NOLOGIN", role)] if member.login else []),
        _terminate(role),
        Change(shown.statement("REASSIGN OWNED BY {} TO {}; DROP OWNED BY {}", role, name, role), None, RELEASE, role),
        drop_role(role),
    ]


def _viewers(current: Observed) -> list[Change]:
    name, group = current.name, members.viewers(current.name)
    steps = [] if current.viewers else [statement("CREATE ROLE {} NOLOGIN", group)]
    if current.viewers_grants != ("CONNECT",):
        grants = "GRANT USAGE ON SCHEMAS, SELECT ON TABLES TO {}, and by default on what {} makes"
        steps.append(Change(shown.statement(grants, group, name), None, GRANT_VIEWERS, group))
        steps.append(statement("GRANT CONNECT ON DATABASE {} TO {}", name, group))
    return steps


def _one(current: ObservedMember | None, member: Member, wanted: TenantDatabase) -> list[Change]:
    if current and current.foreign:
        raise TenantError("foreign_role", "A role of a member's name exists that the provisioner does not administer.")
    made = [_create(member, wanted.connection_limit)] if current is None else _alter(current, member, wanted)
    found = current or ObservedMember(member.role)
    return [*made, *_membership(found, member, wanted.name), *_settings(found, member, wanted.name)]


def _create(member: Member, limit: int) -> Change:
    attributes: LiteralString = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {}"
    return secret("CREATE ROLE {} LOGIN " + attributes, member.verifier, member.role, limit)


def _alter(current: ObservedMember, member: Member, wanted: TenantDatabase) -> list[Change]:
    role, steps = member.role, []
    if not current.login:
        steps.append(statement("ALTER ROLE {} LOGIN", role))
    if current.role_limit != wanted.connection_limit:
        steps.append(statement("ALTER ROLE {} CONNECTION LIMIT {}", role, wanted.connection_limit))
    if current.salt != scram.parse(member.verifier):
        steps += [secret("ALTER ROLE {}", member.verifier, role), _terminate(role)]
    return steps


def _membership(current: ObservedMember, member: Member, database: str) -> list[Change]:
    """A writer has all that the tenant role has, and becomes it; neither passes the membership on."""
    wanted, other = (database, members.viewers(database)) if member.writes else (members.viewers(database), database)
    steps = [statement("REVOKE {} FROM {}", other, member.role)] if other in current.member_of else []
    if wanted not in current.member_of:
        steps.append(statement("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET TRUE", wanted, member.role))
    return steps


def _settings(current: ObservedMember, member: Member, database: str) -> list[Change]:
    steps = []
    for name, value in members.settings(member, database).items():
        if f"{name}={value}" not in current.settings:
            text = sql.SQL("ALTER ROLE {} SET {} = {}").format(
                sql.Identifier(member.role), sql.Identifier(name), sql.Literal(value)
            )
            steps.append(Change(shown.statement("ALTER ROLE {} SET ", member.role) + f"{name} = '{value}'", text))
    return steps


def _terminate(role: str) -> Change:
    return Change(shown.statement("End the sessions of {}", role), None, TERMINATE, role)
