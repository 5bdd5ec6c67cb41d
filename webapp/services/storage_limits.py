"""Databases over their plan's storage: read-only, shut when they grow all the same, open again when there is room.

docs/decisions/0002-storage-limit.md says why, and what was tried.
"""

import uuid
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from webapp.models import Database, Operation
from webapp.services import databases, plans
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, OperationInProgress

# Below the limit, so that a database at the edge does not change its mind with every report.
REOPEN_AT = 0.95
# What a read-only database may grow without being shut: indexes, statistics and a clean-up take some room too.
SLACK_SHARE, SLACK_BYTES = 0.05, 16 * 2**20
CLEAN_UPS, CLEAN_UP_WINDOW = 3, timedelta(days=1)


def next_state(state: str, size_bytes: int, limit_bytes: int, mark_bytes: int | None) -> str:
    """What a database of this size should be. *mark_bytes* is the least it has had since it became read-only."""
    if size_bytes < limit_bytes * REOPEN_AT:
        return "open"
    if state == "open":
        return "read_only" if size_bytes >= limit_bytes else "open"
    grown = mark_bytes is not None and size_bytes > mark_bytes + slack(limit_bytes)
    return "shut" if grown else state


def slack(limit_bytes: int) -> int:
    """What a read-only database may grow."""
    return max(SLACK_BYTES, int(limit_bytes * SLACK_SHARE))


def enforce(session: Session, host_id: uuid.UUID) -> int:
    """Queue the changes that the host's databases need by their size; how many they are. The caller commits.

    One that is locked or has an operation under way is left to the next report: measuring waits for nobody.
    """
    live = select(Database).where(
        Database.host_id == host_id, Database.deleted_at.is_(None), Database.status == "active", Database.size_bytes > 0
    )
    due = [database.id for database in session.scalars(live).unique() if _is_due(database)]
    locked = select(Database).where(Database.id.in_(due)).with_for_update(of=Database, skip_locked=True)
    found = session.scalars(locked.execution_options(populate_existing=True)).unique() if due else ()
    return sum(_enforce_one(session, database) for database in found)


def clean_up(session: Session, actor: Actor, database: Database) -> Operation:
    """Open a database that was shut for its growth, read-only as it was, so that its owner can free space.

    Raises Conflict when it is not shut, or has been opened so too often lately: each time lets it grow a little.
    """
    databases.lock(session, database)
    if database.storage_state != "shut":
        raise Conflict("This database is not shut for its size.")
    since = func.now() - CLEAN_UP_WINDOW
    query = select(func.count()).where(
        Operation.database_id == database.id, Operation.kind == "database.clean_up", Operation.created_at > since
    )
    if (session.scalar(query) or 0) >= CLEAN_UPS and not actor.sees_everything:
        raise Conflict(
            "It was opened for cleaning up often enough today. Take a larger plan, or ask who runs this service."
        )
    operation = databases.queue_change(session, actor, database, "database.clean_up")
    database.storage_state, database.storage_mark_bytes = "read_only", database.size_bytes
    return operation


def _is_due(database: Database) -> bool:
    return _next(database) != database.storage_state or _has_shrunk(database)


def _next(database: Database) -> str:
    limit_bytes = plans.plan_of(database.owner).storage_bytes
    return next_state(database.storage_state, database.size_bytes, limit_bytes, database.storage_mark_bytes)


def _has_shrunk(database: Database) -> bool:
    mark = database.storage_mark_bytes
    return database.storage_state == "read_only" and (mark is None or database.size_bytes < mark)


def _enforce_one(session: Session, database: Database) -> bool:
    """Whether an operation was queued."""
    before, wanted = database.storage_state, _next(database)
    if wanted == before:
        mark = {"storage_mark_bytes": database.size_bytes}
        session.execute(update(Database).where(Database.id == database.id).values(**mark))
        return False
    limit_bytes = plans.plan_of(database.owner).storage_bytes
    details = {"from": before, "to": wanted, "size_bytes": database.size_bytes, "limit_bytes": limit_bytes}
    try:
        with session.begin_nested():
            databases.queue_change(session, SYSTEM, database, "database.storage_limit", details=details)
            database.storage_state = wanted
            database.storage_mark_bytes = None if wanted == "open" else database.size_bytes
    except OperationInProgress:
        return False
    return True
