"""Tell the people of a database when a backup, a restore or a drill has failed: each time by webhook, once by mail.

A mail says that something began to fail; it comes again only after it went well in between.
"""

from collections.abc import Iterable

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webapp.models import Database, Member, Operation, User
from webapp.services import mails, outbox, webhooks

KEPT_ASIDE = (
    "What was there before is kept on the host for seven days; ask the operator if something of it is still needed."
)


def final_failed(session: Session, database: Database, why: str) -> None:
    """The first failure of a final backup. The database is deleted and kept aside, and the dump is tried again."""
    message = f"The final backup failed: {why}"
    webhooks.publish(session, "backup.failed", database=database, details={"message": message})
    _mail(session, people(session, database), database, message, "/databases/deleted")


def safety_failed(session: Session, database: Database, why: str) -> None:
    """A restore went well, and what it replaced could not be backed up before."""
    message = f"The database was restored. No safety backup could be made before: {why} {KEPT_ASIDE}"
    webhooks.publish(session, "backup.failed", database=database, details={"message": message})
    _mail(session, people(session, database), database, message, f"/databases/{database.id}/backups")


def tell(session: Session, operation: Operation, what: str, *, admins: bool = False) -> None:
    """Queue the notice in the transaction that ends the operation; *admins*: for the platform's admins too."""
    database = operation.database
    message = f"{what}: {operation.error_message or 'the run ended without a result'}"
    details = {
        "operation": {"id": str(operation.id), "kind": operation.kind},
        "message": message,
        "step": operation.error_step,
    }
    webhooks.publish(session, "backup.failed", database=database, details=details)
    if _is_first(session, operation):
        also = session.scalars(select(User).where(User.platform_role == "admin")) if admins else ()
        listed = {user.id: user for user in (*people(session, database), *also)}
        _mail(session, listed.values(), database, message, f"/databases/{database.id}/backups")


def people(session: Session, database: Database) -> list[User]:
    """Who is told: the owner, and the members who may act on it. *database* may be of another session."""
    acting = select(Member.user_id).where(Member.database_id == database.id, Member.level == "admin")
    return list(session.scalars(select(User).where(or_(User.id == database.owner_id, User.id.in_(acting)))))


def _is_first(session: Session, operation: Operation) -> bool:
    """Whether the one before it, of the same kind on the same database, went well (or there was none)."""
    before = select(Operation.state).where(
        Operation.database_id == operation.database_id,
        Operation.kind == operation.kind,
        Operation.id != operation.id,
        Operation.state.in_(("succeeded", "failed")),
    )
    return session.scalar(before.order_by(Operation.ended_at.desc()).limit(1)) != "failed"


def _mail(session: Session, users: Iterable[User], database: Database, message: str, path: str) -> None:
    for user in users:
        if user.state == "active":
            outbox.queue(session, mails.backup_failed(user.email, database.display_name, message, path))
