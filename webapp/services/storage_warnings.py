"""Warn a database's owner, once for each crossing, that it nears the end of its storage: by webhook and by mail."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Database, User
from webapp.services import mails, outbox, plans, webhooks
from webapp.services.sizes import pretty

AT_PERCENT = (80, 95)
# Below what was warned of by so much before it is warned of again: a database at the edge stays quiet.
BACK_PERCENT = 5


def next_warned(warned: int, percent: float) -> int:
    """Of what the owner is to have been warned, when the database takes *percent* of its storage."""
    reached = max((at for at in AT_PERCENT if percent >= at), default=0)
    kept = max((at for at in AT_PERCENT if at <= warned and percent >= at - BACK_PERCENT), default=0)
    return max(reached, kept)


def tell(session: Session, host_id: uuid.UUID) -> int:
    """Warn the owners of a host's databases by their sizes as just reported; how many. The caller commits.

    One that is locked is left to the next report: measuring waits for nobody.
    """
    live = (
        select(Database.id, Database.size_bytes, Database.warned_percent, User)
        .join(User, User.id == Database.owner_id)
        .where(Database.host_id == host_id, Database.deleted_at.is_(None))
        .where((Database.size_bytes > 0) | (Database.warned_percent > 0))
    )
    due = [
        row.id
        for row in session.execute(live)
        if next_warned(row.warned_percent, _percent(row.size_bytes, row.User)) != row.warned_percent
    ]
    if not due:
        return 0
    locked = select(Database).where(Database.id.in_(due)).with_for_update(of=Database, skip_locked=True)
    found = session.scalars(locked.execution_options(populate_existing=True)).unique().all()
    return sum(_tell_one(session, database) for database in found)


def _tell_one(session: Session, database: Database) -> bool:
    """Whether the owner was warned; less than before is noted in silence."""
    before, percent = database.warned_percent, _percent(database.size_bytes, database.owner)
    database.warned_percent = warned = next_warned(before, percent)
    if warned <= before:
        return False
    limit_bytes = plans.plan_of(database.owner).storage_bytes
    details = {"percent": warned, "sizeBytes": database.size_bytes, "limitBytes": limit_bytes}
    webhooks.publish(session, "storage.warning", database=database, details=details)
    if database.owner.state == "active":
        used, limit = pretty(database.size_bytes), pretty(limit_bytes)
        outbox.queue(session, mails.storage_warning(database.owner.email, database.name, warned, used, limit))
    return True


def _percent(size_bytes: int, owner: User) -> float:
    return 100 * size_bytes / plans.plan_of(owner).storage_bytes
