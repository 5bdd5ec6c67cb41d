# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step towards what a database should be: what runs, and what people read of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import LiteralString

from psycopg import sql

from . import shown

STATEMENT, HAND_OVER, TERMINATE = "statement", "hand over", "terminate"
GRANT_VIEWERS, RELEASE, DROP_ROLE = "grant viewers", "release", "drop role"


@dataclass(frozen=True)
class Change:
    """One step. *shown* is for people and holds no secret; *statement* may. Without one, *role* is whom it is about."""

    shown: str
    statement: sql.Composed | None = field(default=None, repr=False)
    kind: str = STATEMENT
    role: str = ""


def statement(template: LiteralString, *values: str | int) -> Change:
    """*template* with its names as identifiers and its numbers as literals."""
    return Change(shown.statement(template, *values), sql.SQL(template).format(*map(_composable, values)))


def together(steps: list[Change]) -> Change:
    """*steps* as one transaction: either all of them are made or none."""
    statements = [step.statement for step in steps if step.statement is not None]
    return Change("; ".join(step.shown for step in steps), sql.SQL("; ").join(statements))


def secret(template: LiteralString, verifier: str | None, *values: str | int) -> Change:
    """A statement that ends in *verifier*, which is not shown."""
    visible = f"{shown.statement(template, *values)} PASSWORD {shown.HIDDEN}"
    password = sql.SQL(" PASSWORD {}").format(sql.Literal(verifier))
    return Change(visible, sql.SQL(template).format(*map(_composable, values)) + password)


def drop_role(role: str) -> Change:
    """Drop *role*, or free its name at once where a tenant's database still names it."""
    return Change(shown.statement("DROP ROLE {}", role), kind=DROP_ROLE, role=role)


def _composable(value: str | int) -> sql.Composable:
    return sql.Identifier(value) if isinstance(value, str) else sql.Literal(value)
