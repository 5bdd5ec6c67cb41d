# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converge tenant roles and databases: observe, decide, apply, observe, each database on its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from . import changes as planning
from . import ownership, postgres, scram
from .changes import Change
from .errors import TenantError
from .observed import Observed, observe
from .results import Result
from .tenants import TenantDatabase

_ALREADY_THERE = (errors.UniqueViolation, errors.DuplicateDatabase, errors.DuplicateObject)
_PARALLEL = 4

_TERMINATE = """
SELECT pg_catalog.pg_terminate_backend(a.pid, 5000) FROM pg_catalog.pg_stat_activity AS a
 WHERE (a.usename = %(name)s OR a.datname = %(name)s) AND a.pid <> pg_catalog.pg_backend_pid()
"""


@dataclass(frozen=True)
class Target:
    """The cluster to converge, and the loopback address at which its roles log in."""

    cluster: postgres.Cluster
    login: scram.Endpoint


def converge(target: Target, wanted: Sequence[TenantDatabase], *, check: bool) -> list[Result]:
    """Converge each database; one that fails does not stop the rest. Results are in the order of *wanted*."""
    try:
        current = _observe(target, [database.name for database in wanted])
    except TenantError as error:
        return [Result.of(database, error=error) for database in wanted]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(lambda item: _converge_one(target, current[item.name], item, check), wanted))


def _observe(target: Target, names: Iterable[str]) -> dict[str, Observed]:
    with postgres.connect(target.cluster) as connection:
        try:
            return observe(connection, names, target.login)
        except psycopg.Error as error:
            raise postgres.explain(error, "Observe roles and databases") from None


def _converge_one(target: Target, current: Observed, wanted: TenantDatabase, check: bool) -> Result:
    result = Result.of(wanted)
    try:
        steps = planning.changes(current, wanted)
        if check:
            result.changes += [step.shown for step in steps]
        elif steps:
            _apply_and_observe(target, wanted, steps, result)
        _repair(target, current, wanted, result, check)
    except TenantError as error:
        result.error = error
    result.notes += _notes(current)
    return result


def _apply_and_observe(target: Target, wanted: TenantDatabase, steps: list[Change], result: Result) -> None:
    """Apply *steps*; start over once if somebody else made the thing in between; expect nothing left to do."""
    try:
        _apply(target, wanted, steps, result)
    except _ALREADY_THERE:
        again = _observe(target, [wanted.name])[wanted.name]
        try:
            _apply(target, wanted, planning.changes(again, wanted), result)
        except _ALREADY_THERE as error:
            raise postgres.explain(error, "Create") from None
    left = planning.changes(_observe(target, [wanted.name])[wanted.name], wanted)
    if [step for step in left if step.kind != planning.TERMINATE]:
        raise TenantError("not_converged", "The change did not last; something undid it.", True, left[0].shown)


def _apply(target: Target, wanted: TenantDatabase, steps: list[Change], result: Result) -> None:
    with postgres.connect(target.cluster) as connection:
        for step in steps:
            try:
                _apply_step(connection, target, wanted, step)
            except _ALREADY_THERE:
                raise
            except errors.DependentObjectsStillExist:
                raise _in_use(connection, wanted.name, step) from None
            except psycopg.Error as error:
                raise postgres.explain(error, step.shown) from None
            result.changes.append(step.shown)


def _apply_step(connection: psycopg.Connection, target: Target, wanted: TenantDatabase, step: Change) -> None:
    if step.kind == planning.TERMINATE:
        connection.execute(_TERMINATE, {"name": wanted.name})
    elif step.kind == planning.HAND_OVER:
        with postgres.connect(target.cluster, wanted.name) as inside:
            ownership.hand_over_public(inside, wanted.name)
    elif step.statement is not None:
        connection.execute(step.statement)


def _in_use(connection: psycopg.Connection, name: str, step: Change) -> TenantError:
    """A role that owns something in another database is never dropped by force: that would be somebody's data."""
    query = sql.SQL(
        "SELECT DISTINCT d.datname FROM pg_catalog.pg_shdepend AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid"
        " WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = {}::regrole ORDER BY 1"
    ).format(sql.Literal(sql.Identifier(name).as_string(None)))
    found = ", ".join(str(row[0]) for row in connection.execute(query).fetchall())
    return TenantError("role_in_use", f"The role still owns things in: {found}.", step=step.shown)


def _repair(target: Target, current: Observed, wanted: TenantDatabase, result: Result, check: bool) -> None:
    if not wanted.repair_ownership or wanted.state != "present" or not current.open:
        return
    with postgres.connect(target.cluster, wanted.name) as inside:
        try:
            repaired = ownership.repair(inside, wanted.name, check=check)
        except psycopg.Error as error:
            raise postgres.explain(error, "Repair ownership") from None
    result.changes += repaired.changes
    result.notes += repaired.notes


def _notes(current: Observed) -> list[str]:
    """What an operator should look at, and no change may touch."""
    return [f"The tenant role is a member of {role}." for role in current.member_of]
