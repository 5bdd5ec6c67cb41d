"""How the installation is: its hosts, and what waits for them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, cast, func, select
from sqlalchemy.orm import Session

from webapp.models import Database, Host, Operation

STUCK_AFTER_S = 60.0


@dataclass(frozen=True)
class HostFigures:
    """One host's load; `oldest_open_s` is how long the oldest operation that has not ended waits or runs."""

    name: str
    state: str
    databases: int
    capacity: int
    open_operations: int
    oldest_open_s: float

    @property
    def is_healthy(self) -> bool:
        """Reachable on purpose, and its operations come to an end."""
        return self.state != "offline" and self.oldest_open_s < STUCK_AFTER_S


def host_figures(session: Session) -> list[HostFigures]:
    """Each host's figures, by name."""
    databases = (
        select(Database.host_id, func.count().label("number"))
        .where(Database.deleted_at.is_(None))
        .group_by(Database.host_id)
        .subquery()
    )
    waiting = (
        select(Operation.host_id, func.count().label("number"), func.min(Operation.created_at).label("since"))
        .where(Operation.state.in_(("queued", "running")))
        .group_by(Operation.host_id)
        .subquery()
    )
    age = func.extract("epoch", func.now() - waiting.c.since)
    query = (
        select(
            Host.name,
            Host.state,
            func.coalesce(databases.c.number, 0),
            Host.capacity,
            func.coalesce(waiting.c.number, 0),
            cast(func.greatest(func.coalesce(age, 0), 0), Float),
        )
        .outerjoin(databases, databases.c.host_id == Host.id)
        .outerjoin(waiting, waiting.c.host_id == Host.id)
        .order_by(Host.name)
    )
    return [HostFigures(*row) for row in session.execute(query)]


def counts_by(session: Session, column: Any, *conditions: Any) -> dict[str, int]:
    """How many rows there are of each value of *column*."""
    rows = session.execute(select(column, func.count()).where(*conditions).group_by(column))
    return {str(value): number for value, number in rows}
