"""Delete a user: at once out, their databases stopped, and all of it undoable until the retention time is over."""

import uuid
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import ApiKey, Base, Database, Subscription, User, UserDeletion
from webapp.services import audit, auth_sessions, billing, databases, ownership, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, OperationInProgress
from webapp.services.user_admin import require_admin, require_dispensable

# Rows of a purged user's that others still refer to, or that have to be kept.
KEPT = (ApiKey.__table__, Subscription.__table__, UserDeletion.__table__)
log = structlog.get_logger(__name__)


def delete_user(session: Session, actor: Actor, user: User, *, heir: User | None = None) -> UserDeletion:
    """Lock *user* out for good. Their databases go to *heir* as they are; without one they are stopped, and deleted
    when the retention time is over. What they pay for is cancelled at the period's end.

    Raises Conflict (oneself, the last admin, deleted already, an operation under way) or BillingUnavailable.
    """
    require_admin(actor)
    users.lock(session, user.id)
    if user.state == "deleted":
        raise Conflict("This user is deleted already.")
    require_dispensable(session, actor, user)
    owned = _live(session, user)
    stopped = _hand_over(session, actor, owned, heir) if heir else _stop(session, actor, owned)
    user.state = "deleted"
    auth_sessions.revoke_all(session, user)
    billing.let_run_out(session, actor, user)
    deletion = UserDeletion(
        user_id=user.id,
        user=user,
        purge_at=datetime.now(UTC) + timedelta(days=settings().user_retention_days),
        stopped_databases=stopped,
    )
    session.merge(deletion)
    details = {"databases": len(owned), "heir": heir.email if heir else None}
    audit.record(session, actor, "user.delete", user.email, details=details)
    return deletion


def undo(session: Session, actor: Actor, user: User) -> None:
    """Let a deleted user in again, and start the databases that the deletion stopped. Those that were handed over
    stay where they are. Raises Conflict when it is too late, or a database is still being stopped."""
    require_admin(actor)
    users.lock(session, user.id)
    deletion = session.get(UserDeletion, user.id)
    if user.state != "deleted" or deletion is None or deletion.purge_at <= datetime.now(UTC):
        raise Conflict("This cannot be undone any more.")
    for database in _live(session, user):
        if str(database.id) in deletion.stopped_databases and database.desired_state == "stopped":
            databases.start_database(session, actor, database)
    user.state = "active"
    session.delete(deletion)
    audit.record(session, actor, "user.undelete", user.email)


def of_user(session: Session, user: User) -> UserDeletion | None:
    """The deletion of a deleted user."""
    return session.get(UserDeletion, user.id)


def purge(session: Session) -> int:
    """Delete what belonged to users whose retention time is over; erase who has nothing left. The caller commits."""
    over = select(UserDeletion).where(UserDeletion.purge_at <= func.now(), UserDeletion.purged_at.is_(None))
    erased = 0
    for deletion in session.scalars(over.order_by(UserDeletion.purge_at).limit(20)).all():
        left = _live(session, deletion.user)
        for database in left:
            _delete(session, database)
        if not left:
            _erase(session, deletion)
            erased += 1
    return erased


def _live(session: Session, user: User) -> list[Database]:
    query = select(Database).where(Database.owner_id == user.id, Database.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Database.name)))


def _stop(session: Session, actor: Actor, owned: list[Database]) -> list[str]:
    """Stop those that run; the ids of these, which an undo starts again."""
    running = [database for database in owned if database.desired_state == "present"]
    for database in running:
        try:
            databases.stop_database(session, actor, database)
        except OperationInProgress:
            raise Conflict(f"An operation on {database.name} has not ended yet. Try again afterwards.") from None
    return [str(database.id) for database in running]


def _hand_over(session: Session, actor: Actor, owned: list[Database], heir: User) -> list[str]:
    """Make *heir* the owner of each; nothing changes on a host. Their plan's limit counts for what they create."""
    for database in owned:
        ownership.hand_over(session, actor, database, heir)
    return []


def _delete(session: Session, database: Database) -> None:
    if database.desired_state == "absent":
        return
    try:
        with session.begin_nested():
            databases.delete_database(session, SYSTEM, database)
    except OperationInProgress:
        log.info("purge_waits", database_id=str(database.id))


def _erase(session: Session, deletion: UserDeletion) -> None:
    """Leave of the user what operations and audit events point at: a row without a name."""
    user = deletion.user
    for table in reversed(Base.metadata.sorted_tables):
        for key in table.foreign_keys:
            if key.column is User.__table__.c.id and key.ondelete == "CASCADE" and table not in KEPT:
                session.execute(delete(table).where(key.parent == user.id))
    session.execute(update(ApiKey).where(ApiKey.user_id == user.id).values(revoked_at=func.now()))
    user.email, user.password_hash, user.platform_role = _nobody(user.id), None, "user"
    deletion.purged_at = datetime.now(UTC)
    audit.record(session, SYSTEM, "user.purge", user.email)


def _nobody(user_id: uuid.UUID) -> str:
    return f"deleted-{user_id}@deleted.invalid"
