"""What a user takes of their plan."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Database, User
from webapp.services import plans, storage
from webapp.services.storage import Usage


@dataclass(frozen=True)
class PlanUsage:
    """A user's databases, the fullest first, with what each takes of its storage."""

    databases: list[tuple[Database, Usage]]
    allowed: int

    @property
    def used(self) -> int:
        return len(self.databases)

    @property
    def size_bytes(self) -> int:
        return sum(database.size_bytes for database, _ in self.databases)

    @property
    def is_over(self) -> bool:
        """More databases than the plan allows: they are kept, and no other can be created."""
        return self.used > self.allowed


def of_user(session: Session, user: User) -> PlanUsage:
    """The user's own live databases against their plan."""
    query = select(Database).where(Database.owner_id == user.id, Database.deleted_at.is_(None))
    found = list(session.scalars(query.order_by(Database.size_bytes.desc(), Database.name)))
    return PlanUsage([(database, storage.usage(database)) for database in found], plans.plan_of(user).databases)
