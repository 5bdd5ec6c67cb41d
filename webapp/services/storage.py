"""How much of its plan's storage a database takes. What follows from it: docs/decisions/0002-storage-limit.md."""

from dataclasses import dataclass
from typing import Literal

from webapp.models import Database
from webapp.services import plans

WARN_AT, URGE_AT, FULL = 0.8, 0.95, 1.0
Level = Literal["well", "warning", "urgent", "over"]


@dataclass(frozen=True)
class Usage:
    """A database's size, as last reported, against the limit of its owner's plan."""

    size_bytes: int
    limit_bytes: int
    plan_title: str
    state: str = "open"

    @property
    def share(self) -> float:
        """Of the limit: 1 is all of it."""
        return self.size_bytes / self.limit_bytes

    @property
    def level(self) -> Level:
        """How bad it is."""
        if self.share >= FULL:
            return "over"
        if self.share >= URGE_AT:
            return "urgent"
        return "warning" if self.share >= WARN_AT else "well"


def usage(database: Database) -> Usage:
    """What *database* takes of its owner's plan."""
    plan = plans.plan_of(database.owner)
    return Usage(database.size_bytes, plan.storage_bytes, plan.title, database.storage_state or "open")


def restored(database: Database) -> None:
    """Its data came into a new database, to which everybody may write; the next report decides anew."""
    database.storage_state, database.storage_mark_bytes = "open", None
