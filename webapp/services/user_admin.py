"""What platform admins do with users: find, plan, role, ban, address. Deleting is in user_deletions."""

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import Database, User
from webapp.services import accounts, audit, auth_sessions, mails, outbox, plans, users
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, NotFound
from webapp.services.guards import mark_authorized
from webapp.services.paging import Page, paginate


@dataclass(frozen=True)
class Found:
    """One page of users, and how many live databases each has."""

    page: Page[User]
    databases: dict[uuid.UUID, int]


def require_admin(actor: Actor) -> None:
    """Raises NotFound unless a platform admin (or the system) asks."""
    mark_authorized()
    if actor.user is not None and not (actor.user.is_admin and actor.sees_everything):
        raise NotFound("There is no such page.")


def list_users(
    session: Session, actor: Actor, *, page: int, search: str = "", plan: str | None = None, state: str | None = None
) -> Found:
    """Users by their address, newest first."""
    require_admin(actor)
    query = select(User).order_by(User.created_at.desc(), User.id)
    if search.strip():
        query = query.where(User.email.icontains(search.strip(), autoescape=True))
    if plan:
        query = query.where(User.plan == plan)
    if state == "admin":
        query = query.where(User.platform_role == "admin")
    elif state:
        query = query.where(User.state == state)
    found: Page[User] = paginate(session, query, page=page, limit=30)
    owned = select(Database.owner_id, func.count().label("number")).where(
        Database.deleted_at.is_(None), Database.owner_id.in_([user.id for user in found.items])
    )
    counts = {row.owner_id: row.number for row in session.execute(owned.group_by(Database.owner_id))}
    return Found(found, counts)


def find_user(session: Session, actor: Actor, user_id: uuid.UUID) -> User:
    """Any user. Raises NotFound."""
    require_admin(actor)
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def change_plan(session: Session, actor: Actor, user: User, plan: str) -> None:
    """Give *user* a plan, whatever they pay for; nothing over its limits is deleted. Raises ValidationFailed."""
    require_admin(actor)
    users.lock(session, user.id)
    details = {"from": user.plan, "to": plans.check_plan(plan), "by": "admin"}
    user.plan = plan
    audit.record(session, actor, "user.change_plan", user.email, details=details)


def change_role(session: Session, actor: Actor, user: User, role: str) -> None:
    """Make *user* a platform admin, or one no more. Raises Conflict for oneself and for the last admin."""
    require_admin(actor)
    admin = role == "admin"
    _require_active(user)
    if not admin:
        require_dispensable(session, actor, user)
    user.platform_role = "admin" if admin else "user"
    audit.record(session, actor, "user.promote" if admin else "user.demote", user.email)


def ban(session: Session, actor: Actor, user: User, reason: str) -> None:
    """Lock *user* out: sessions end, API keys are refused; databases keep running. Raises Conflict."""
    require_admin(actor)
    _require_active(user)
    require_dispensable(session, actor, user)
    user.state = "banned"
    ended = auth_sessions.revoke_all(session, user)
    details = {"reason": reason.strip()[:300], "sessions_ended": ended}
    audit.record(session, actor, "user.ban", user.email, details=details)


def unban(session: Session, actor: Actor, user: User) -> None:
    """Let *user* in again. Raises Conflict when they are not banned."""
    require_admin(actor)
    if user.state != "banned":
        raise Conflict("This user is not banned.")
    user.state = "active"
    audit.record(session, actor, "user.unban", user.email)


def change_email(session: Session, actor: Actor, user: User, email: str) -> None:
    """Give *user* another address, on the admin's word that it is theirs; the old one is told.

    Raises ValidationFailed or Conflict.
    """
    require_admin(actor)
    before = user.email
    accounts.set_email(session, actor, user, users.check_email(email))
    if user.email != before:
        outbox.queue(session, mails.email_changed(before, user.email))


def require_dispensable(session: Session, actor: Actor, user: User) -> None:
    """Raises Conflict for oneself, and for the last admin who can sign in: somebody has to be left.

    The admins' rows are locked, so that two admins cannot put each other out at once.
    """
    if actor.user is not None and actor.user.id == user.id:
        raise Conflict("This is yourself. Another admin has to do it.")
    admins = select(User).where(User.platform_role == "admin", User.state == "active").order_by(User.id)
    left = [each for each in session.scalars(admins.with_for_update()) if each.id != user.id]
    if not left:
        raise Conflict("This is the last platform admin.")


def _require_active(user: User) -> None:
    if user.state != "active":
        raise Conflict(f"This user is {user.state}.")
