"""Plans and their limits: configuration, read once."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Database, FinalBackup, User
from webapp.services.errors import ApiNotInPlan, PlanLimitReached, ValidationFailed

PACKAGED = Path(__file__).parent.parent / "plans.toml"


class Plan(BaseModel):
    """What a plan costs and allows; no price means by contact.

    `stripe_price` is the id of a monthly price made at Stripe; without it one is made from `price_cents_a_month`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    price_cents_a_month: int | None = None
    stripe_price: str | None = None
    databases: int
    storage_bytes: int
    api: bool
    # The longest that backups are kept, and the shortest time between two that a schedule may ask for.
    backup_retention_days: int = 30
    backup_every_hours: int = 24


@lru_cache(maxsize=1)
def all_plans() -> dict[str, Plan]:
    """Every plan by its name, in the file's order."""
    text = (settings().plans_file or PACKAGED).read_text(encoding="utf-8")
    return {name: Plan.model_validate(values) for name, values in tomllib.loads(text).items()}


def plan_of(user: User) -> Plan:
    """The user's plan; a plan that was taken out of the file counts as the default one."""
    plans = all_plans()
    return plans.get(user.plan) or plans[settings().plan]


def check_plan(name: str) -> str:
    """Return *name* when there is such a plan; raises ValidationFailed."""
    if name not in all_plans():
        raise ValidationFailed("There is no such plan.", errors={"plan": [f"Use one of {', '.join(all_plans())}."]})
    return name


def require_api(user: User) -> None:
    """Raises ApiNotInPlan unless the user's plan has the API."""
    if not plan_of(user).api:
        raise ApiNotInPlan(f"The {plan_of(user).title} plan has no API. Upgrade to use API keys.")


def live_databases(session: Session, user: User) -> int:
    """How many databases the user owns that are not deleted."""
    query = select(func.count()).where(Database.owner_id == user.id, Database.deleted_at.is_(None))
    return session.scalar(query) or 0


def waiting_databases(session: Session, user: User) -> list[Database]:
    """The user's deleted databases whose final backup is not made yet: their hosts keep all of their data."""
    query = select(Database).join(FinalBackup, FinalBackup.database_id == Database.id)
    gone = Database.deleted_at.is_not(None), FinalBackup.backup_id.is_not(None)
    return list(session.scalars(query.where(Database.owner_id == user.id, *gone)).unique())


@dataclass(frozen=True)
class Room:
    """What a user's plan leaves for one more database: *problem* says why there is none."""

    problem: str | None
    can_upgrade: bool


def room(session: Session, user: User) -> Room:
    """Whether the user's plan has room for a database now, and whether another plan has more."""
    larger = any(one.databases > plan_of(user).databases for one in all_plans().values())
    try:
        require_room(session, user)
    except PlanLimitReached as error:
        return Room(str(error), larger)
    return Room(None, larger)


def require_room(session: Session, user: User, returning: Database | None = None) -> None:
    """Raises PlanLimitReached when one more database is over the plan. The caller holds the user's row lock.

    A deleted one counts until its host has dropped it, except *returning*, which is to be brought back.
    """
    plan = plan_of(user)
    live = live_databases(session, user)
    waiting = [database for database in waiting_databases(session, user) if database is not returning]
    if live + len(waiting) < plan.databases:
        return
    noun = "database" if plan.databases == 1 else "databases"
    rule = f"The {plan.title} plan allows {plan.databases} {noun}."
    if live >= plan.databases:
        raise PlanLimitReached(rule)
    raise PlanLimitReached(
        f"{rule} {waiting[0].name}, which was deleted, counts until its final backup is made, mostly within a minute."
        " Try again then. The page of deleted databases says if the backup fails, and what to do."
    )
