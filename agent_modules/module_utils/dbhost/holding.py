# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which changes keep a database aside when its name is to be free, until it is dumped, and which bring it back. Pure.

Database, tenant role and members' roles change their names in one transaction, so that a kill leaves all or none.
"""

from __future__ import annotations

from dataclasses import replace

from . import member_changes, members, shown
from .change import TERMINATE, Change, statement, together
from .errors import TenantError
from .observed import Observed
from .tenants import TenantDatabase

_INTERRUPTED = -2  # a DROP of it has begun: there is nothing left to keep


def keep(current: Observed, wanted: TenantDatabase) -> list[Change]:
    """Give what there is the name *held_as*, open for dumps alone; empty where nothing is to be kept."""
    if wanted.held_as is None or not current.database or current.database_limit == _INTERRUPTED:
        return []
    if current.held and (current.held.database or current.held.role):
        raise TenantError("held_already", "Another database is kept aside under the name that was given.")
    name, steps = current.name, member_changes.shut(current)
    if current.role and not current.login:
        steps.append(statement("ALTER ROLE {} LOGIN", name))
    if not current.open:
        steps.append(statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", name))
    ending = Change(shown.statement("End the sessions of {}", name), kind=TERMINATE, role=name)
    return [*steps, ending, _rename(current, wanted.held_as)]


def brought_back(current: Observed, wanted: TenantDatabase) -> Observed | None:
    """What there will be under the old name once `bring_back` was carried out; None where it is not needed."""
    held, name = current.held, wanted.name
    if held is None or not held.database or current.database or current.role:
        return None
    if held.foreign_database or held.foreign_role:
        raise TenantError("foreign_database", "What is kept aside does not belong to the provisioner.")
    own = tuple(replace(member, role=_renamed(member.role, held.name, name)) for member in held.members)
    return replace(held, name=name, members=own, held=None)


def bring_back(current: Observed, wanted: TenantDatabase) -> Change:
    """Give what is kept aside the name *wanted* has."""
    if current.held is None:
        raise TenantError("nothing_held", "Nothing is kept aside under the name that was given.")
    return _rename(current.held, wanted.name)


def _rename(current: Observed, name: str) -> Change:
    roles = [current.name] if current.role else []
    roles += [member.role for member in current.members if not member.foreign]
    roles += [members.viewers(current.name)] if current.viewers else []
    steps = [statement("ALTER DATABASE {} RENAME TO {}", current.name, name)]
    steps += [statement("ALTER ROLE {} RENAME TO {}", role, _renamed(role, current.name, name)) for role in roles]
    return together(steps)


def _renamed(role: str, old: str, new: str) -> str:
    return new + role.removeprefix(old)
