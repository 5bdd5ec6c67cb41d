"""How much there is of everything on this installation."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import Database, Operation, User
from webapp.services.health import counts_by

LATELY = timedelta(days=1)


@dataclass(frozen=True)
class Totals:
    """Counts of now; `lately` is the last 24 hours."""

    users: dict[str, int]
    databases: dict[str, int]
    size_bytes: int
    open_operations: dict[str, int]
    lately: dict[str, int]
    latest_failure: Operation | None


def totals(session: Session) -> Totals:
    """Everything counted, in a handful of cheap queries."""
    live = Database.deleted_at.is_(None)
    ended_lately = Operation.ended_at > func.now() - LATELY
    failed = select(Operation).where(Operation.state == "failed", ended_lately)
    return Totals(
        users=counts_by(session, User.state),
        databases=counts_by(session, Database.status, live),
        size_bytes=int(session.scalar(select(func.coalesce(func.sum(Database.size_bytes), 0)).where(live)) or 0),
        open_operations=counts_by(session, Operation.state, Operation.state.in_(("queued", "running"))),
        lately=counts_by(session, Operation.state, ended_lately),
        latest_failure=session.scalar(failed.order_by(Operation.ended_at.desc()).limit(1)),
    )
