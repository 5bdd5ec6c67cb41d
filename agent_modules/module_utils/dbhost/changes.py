# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which changes turn what a cluster has into what it should have. Pure: no connection, no clock, no files."""

from __future__ import annotations

from . import holding, large_objects, member_changes, scram, shown
from .change import HAND_OVER, TERMINATE, Change, drop_role, secret, statement
from .errors import TenantError
from .observed import Observed
from .tenants import TenantDatabase

GRANTS = ("CONNECT", "CREATE", "TEMPORARY")
DROP_INTERRUPTED = -2  # datconnlimit of a database whose DROP did not come to its end

LOGIN_STATES = ("present", "closed")  # of a closed one PgBouncer knows nothing, and dumps still get in


def changes(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """The ordered changes for one database; each prefix of them leaves it closed to everyone or complete.

    Raises TenantError if the name belongs to somebody else on this cluster.
    """
    _require_ours(current)
    if wanted.state == "absent":
        return _drop_unfinished(current) + (holding.keep(current, wanted) or _drop(current))
    returned = holding.brought_back(current, wanted)
    if returned is not None:
        return [holding.bring_back(current, wanted), *changes(returned, wanted)]
    interrupted = current.database_limit == DROP_INTERRUPTED
    found = _without_database(current) if interrupted else current
    leftovers = [statement("DROP DATABASE {} WITH (FORCE)", wanted.name)] if interrupted else []
    return [
        *leftovers,
        *_role(current, wanted),
        *_database(found, wanted),
        *_read_only(found, wanted),
        *_members(found, wanted),
        *_close(current, wanted),
    ]


def _members(current: Observed, wanted: TenantDatabase) -> list[Change]:
    if wanted.state == "present":
        return member_changes.converge(current, wanted)
    entered = current.database and "CREATE" in current.grants
    return member_changes.shut_and_remove(current, wanted) if entered else member_changes.shut(current)


def _without_database(current: Observed) -> Observed:
    return Observed(
        current.name, members=current.members, viewers=current.viewers, groups=current.groups, template=current.template
    )


def _require_ours(current: Observed) -> None:
    if current.foreign_role:
        raise TenantError("foreign_role", "A role of this name exists that the provisioner does not administer.")
    if current.foreign_database:
        raise TenantError("foreign_database", "A database of this name exists that the provisioner does not own.")


def _drop_unfinished(current: Observed) -> list[Change]:
    """What is the role's there would keep the role."""
    return [statement("DROP DATABASE {} WITH (FORCE)", name) for name in current.unfinished]


def _drop(current: Observed) -> list[Change]:
    name = current.name
    steps = member_changes.shut(current)
    if current.role and current.login:
        steps.append(statement("ALTER ROLE {} NOLOGIN", name))
    if current.database:
        steps.append(statement("DROP DATABASE {} WITH (FORCE)", name))
    steps += member_changes.drop(current)
    if current.role:
        steps.append(drop_role(name))
    return steps


def _role(current: Observed, wanted: TenantDatabase) -> list[Change]:
    name, login = wanted.name, wanted.state in LOGIN_STATES
    if not current.role:
        return [_create_role(wanted), *_groups(current, wanted)]
    steps = _groups(current, wanted)
    if current.loose:
        steps.append(statement("ALTER ROLE {} NOCREATEROLE NOCREATEDB VALID UNTIL 'infinity'", name))
    if current.login != login:
        steps.append(statement("ALTER ROLE {} LOGIN" if login else "ALTER ROLE {} NOLOGIN", name))
    if current.role_limit != wanted.connection_limit:
        steps.append(statement("ALTER ROLE {} CONNECTION LIMIT {}", name, wanted.connection_limit))
    if current.salt != scram.parse(wanted.verifier or ""):
        steps += [secret("ALTER ROLE {}", wanted.verifier, name), _terminate(name)]
    return steps


def _groups(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """The tenant makes large objects, unless its database is too large already; it can always remove them."""
    name, steps = wanted.name, []
    for group in current.groups:
        if wanted.read_only and group == large_objects.MAKE:
            steps += [statement("REVOKE {} FROM {}", group, name)] if group in current.member_of else []
        elif group not in current.member_of:
            steps.append(statement("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET FALSE", group, name))
    return steps


def _create_role(wanted: TenantDatabase) -> Change:
    attributes = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {}"
    login = "CREATE ROLE {} LOGIN " if wanted.state in LOGIN_STATES else "CREATE ROLE {} NOLOGIN "
    return secret(login + attributes, wanted.verifier, wanted.name, wanted.connection_limit)


def _database(current: Observed, wanted: TenantDatabase) -> list[Change]:
    name, limit = wanted.name, wanted.connection_limit
    steps = []
    if not current.database:
        create = "CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG ALLOW_CONNECTIONS false CONNECTION LIMIT {}"
        steps.append(statement(create, name, current.template, limit))
    if not (current.database and current.quiet):
        steps.append(statement("ALTER DATABASE {} SET log_min_messages = panic", name))
    steps += [_revoke(name, other) for other in (current.others if current.database else ("public",))]
    steps += _hand_over(current, wanted)
    if current.database and current.database_limit != wanted.connection_limit:
        steps.append(statement("ALTER DATABASE {} CONNECTION LIMIT {}", name, limit))
    return steps


def _revoke(name: str, other: str) -> Change:
    if other == "public":  # no role can have this name
        return statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    return statement("REVOKE ALL ON DATABASE {} FROM {}", name, other)


def _hand_over(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """Open the database; before that, give it to its tenant, who cannot connect until the very last grant."""
    name, once_more = wanted.name, wanted.name in current.others
    grant = statement("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", name, name)
    enter = statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
    opening = [] if current.open or wanted.state not in LOGIN_STATES else [enter]
    if "CREATE" in current.grants or once_more:
        return ([grant] if once_more or set(current.grants) != set(GRANTS) else []) + opening
    entering = [] if current.open else [enter]
    hand_over = "GRANT {0} TO CURRENT_USER; ALTER SCHEMA public OWNER TO {0}; REVOKE"
    return [*entering, Change(shown.statement(hand_over, name), kind=HAND_OVER), grant]


def _read_only(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """How transactions begin. A tenant's own setting for its role would come before the database's."""
    name = wanted.name
    if not wanted.read_only:
        return [statement("ALTER DATABASE {} RESET default_transaction_read_only", name)] if current.read_only else []
    steps = [] if current.read_only else [statement("ALTER DATABASE {} SET default_transaction_read_only = on", name)]
    if current.own_read_only:
        steps.append(statement("ALTER ROLE {} RESET default_transaction_read_only", name))
        steps.append(statement("ALTER ROLE {} IN DATABASE {} RESET default_transaction_read_only", name, name))
    return steps


def _close(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """What a stopped or closed database needs last: the door shut, then everyone out."""
    if wanted.state == "closed":
        return [_terminate(wanted.name)] if current.backends else []
    if wanted.state != "stopped":
        return []
    entered = "CREATE" not in current.grants or current.database_limit == DROP_INTERRUPTED
    shut = [statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", wanted.name)] if current.open or entered else []
    return shut + ([_terminate(wanted.name)] if shut or current.backends else [])


def _terminate(name: str) -> Change:
    return Change(shown.statement("End the sessions of {}", name), kind=TERMINATE, role=name)
