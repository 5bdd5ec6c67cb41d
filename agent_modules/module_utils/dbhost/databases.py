# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converge tenant roles and databases: observe, decide, apply, observe, each database on its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors

from . import change as kinds
from . import changes as planning
from . import entering, member_grants, ownership, postgres, retired, scram, unblocking
from .change import Change
from .errors import TenantError
from .observed import Observed, observe
from .results import Result
from .tenants import TenantDatabase

_ALREADY_THERE = (errors.UniqueViolation, errors.DuplicateDatabase, errors.DuplicateObject)
_PARALLEL = 4

_INSIDE: dict[str, Callable[[psycopg.Connection, str, str], None]] = {
    kinds.HAND_OVER: lambda inside, name, _role: ownership.hand_over_public(inside, name),
    kinds.GRANT_VIEWERS: member_grants.grant_viewers,
}

# Autovacuum's processes, which have no role, may be ended by a superuser alone; DROP and RENAME end them by themselves.
_TERMINATE = """
SELECT pg_catalog.pg_terminate_backend(a.pid, 5000) FROM pg_catalog.pg_stat_activity AS a
 WHERE (a.usename = %(name)s OR a.datname = %(name)s AND a.usename IS NOT NULL) AND a.pid <> pg_catalog.pg_backend_pid()
"""


@dataclass(frozen=True)
class Target:
    """The cluster to converge, and the loopback address at which its roles log in."""

    cluster: postgres.Cluster
    login: scram.Endpoint


@dataclass
class _Work:
    """One database on its way: what is, what should be, and what is said about it in the end."""

    wanted: TenantDatabase
    current: Observed
    result: Result

    def changes(self) -> list[Change]:
        """What is left to do; nothing once it has failed."""
        if self.result.error:
            return []
        try:
            return planning.changes(self.current, self.wanted)
        except TenantError as error:
            self.result.error = error
            return []


def converge(target: Target, wanted: Sequence[TenantDatabase], *, check: bool) -> list[Result]:
    """Converge each database; one that fails does not stop the rest. Results are in the order of *wanted*."""
    current = _observe(target, wanted)
    batch = [_Work(item, current[item.name], Result.of(item)) for item in wanted]
    for work in batch:
        by_hand = [role for role in work.current.member_of if role not in work.current.groups]
        work.result.notes += [f"The tenant role is a member of {role}." for role in by_hand]
    if check:
        for work in batch:
            work.result.changes += [change.shown for change in work.changes()]
    else:
        _apply_until_done(target, batch)
    for work in batch:
        _repair(target, work, check=check)
    if not check:
        _sweep(target)
    return [work.result for work in batch]


def _sweep(target: Target) -> None:
    with contextlib.suppress(psycopg.Error, TenantError), postgres.connect(target.cluster) as connection:
        retired.sweep(connection, lambda name: entering.connect(target.cluster, name))


def _observe(target: Target, wanted: Iterable[TenantDatabase]) -> dict[str, Observed]:
    with postgres.connect(target.cluster) as connection:
        try:
            listed = list(wanted)
            kept = {item.name: item.held_as for item in listed if item.held_as}
            found = observe(connection, [*(item.name for item in listed), *kept.values()], target.login)
            return {name: replace(row, held=found.get(kept.get(name, ""))) for name, row in found.items()}
        except psycopg.Error as error:
            raise postgres.explain(error, "Observe roles and databases") from None


def _apply_until_done(target: Target, batch: list[_Work]) -> None:
    """Apply and observe, twice at most: the second time is for what somebody else made in between."""
    pending = [work for work in batch if work.changes()]
    for _ in range(2):
        if not pending:
            return
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda share: _apply_share(target, share), [pending[i::_PARALLEL] for i in range(_PARALLEL)]))
        current = _observe(target, [work.wanted for work in pending])
        for work in pending:
            work.current = current[work.wanted.name]
        pending = [work for work in pending if [step for step in work.changes() if step.kind != kinds.TERMINATE]]
    for work in pending:
        step = work.changes()[0].shown
        work.result.error = TenantError("not_converged", "The change did not last; something undid it.", True, step)


def _apply_share(target: Target, share: list[_Work]) -> None:
    """Apply the changes of each of *share* over one connection, which is made anew if it breaks."""
    with postgres.Session(target.cluster) as session:
        for work in share:
            try:
                _apply(target, session, work)
            except TenantError as error:
                work.result.error = error


def _apply(target: Target, session: postgres.Session, work: _Work) -> None:
    connection = session.connection()
    for step in work.changes():
        try:
            _apply_step(connection, target, work.wanted.name, step)
        except _ALREADY_THERE:
            return
        except TenantError as error:
            raise replace(error, step=error.step or step.shown) from None
        except psycopg.Error as error:
            raise postgres.explain(error, step.shown) from None
        work.result.changes.append(step.shown)


def _apply_step(connection: psycopg.Connection, target: Target, name: str, step: Change) -> None:
    if step.kind == kinds.TERMINATE:
        connection.execute(_TERMINATE, {"name": step.role})
    elif step.kind == kinds.DROP_ROLE:
        retired.drop(connection, step.role, name)
    elif step.kind == kinds.RELEASE:
        _release(target, name, step.role)
    elif step.kind in _INSIDE:
        with entering.enter(target.cluster, name) as inside:
            _INSIDE[step.kind](inside, name, step.role)
    elif step.statement is not None:
        with unblocking.making_way(connection, target.cluster):
            connection.execute(step.statement)


def _release(target: Target, name: str, role: str) -> None:
    """As far as it goes now: a role that still owns or is named is put aside instead of dropped, and swept later."""
    with contextlib.suppress(psycopg.Error, TenantError), entering.enter(target.cluster, name) as inside:
        member_grants.release(inside, name, role)


def _repair(target: Target, work: _Work, *, check: bool) -> None:
    """Repair ownership where that is asked for and the database is there to be entered."""
    if not work.wanted.repair_ownership or work.wanted.state != "present" or not work.current.open or work.result.error:
        return
    try:
        with postgres.connect(target.cluster, work.wanted.name) as inside:
            repaired = ownership.repair(inside, work.wanted.name, check=check)
    except TenantError as error:
        work.result.error = error
        return
    except psycopg.Error as error:
        work.result.error = postgres.explain(error, "Repair ownership")
        return
    work.result.changes += repaired.changes
    work.result.notes += repaired.notes
