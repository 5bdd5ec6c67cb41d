"""Answering an invitation to a database: by somebody who has the address, or who makes an account with it."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways.mail import Mail
from webapp.models import Database, Invitation, Member, User
from webapp.services import databases, invitations, mails, ownership, plans, users
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, InvitationNotFound, NotAllowed, PlanLimitReached
from webapp.services.guards import mark_authorized
from webapp.services.sizes import pretty


def of_user(session: Session, user: User) -> list[Invitation]:
    """What the user can accept, the newest first."""
    mark_authorized()
    query = select(Invitation).where(Invitation.email == user.email.lower()).order_by(Invitation.sent_at.desc())
    return [invitation for invitation in session.scalars(query) if invitations.stands(invitation)]


def accept(session: Session, actor: Actor, invitation_id: uuid.UUID) -> tuple[Database, Mail]:
    """Become a member, or the owner; the inviter is told by the mail.

    Raises InvitationNotFound, Conflict, or PlanLimitReached when the new owner's plan has no room.
    """
    user, invitation = _find(session, actor, invitation_id)
    database, owner = invitation.database, invitation.level == "owner"
    databases.lock(session, database)
    if not invitations.stands(invitation):
        raise InvitationNotFound
    invitations.record(session, actor, "transfer.accept" if owner else "invitation.accept", invitation)
    if owner:
        _require_room(session, user, database)
        ownership.hand_over(session, actor, database, user, stays=invitation.stays)
    else:
        _join(session, user, database, invitation.level)
    told = mails.answered(
        invitation.invited_by.email, user.email, database.display_name, "now owns" if owner else "is now a member of"
    )
    session.delete(invitation)
    return database, told


def decline(session: Session, actor: Actor, invitation_id: uuid.UUID) -> Mail:
    """End the invitation; the inviter is told by the mail. Raises InvitationNotFound."""
    user, invitation = _find(session, actor, invitation_id)
    owner = invitation.level == "owner"
    invitations.record(session, actor, "transfer.decline" if owner else "invitation.decline", invitation)
    session.delete(invitation)
    name = invitation.database.display_name
    return mails.answered(invitation.invited_by.email, user.email, name, "declined your invitation to")


def join(session: Session, actor: Actor, token: str, password: str) -> tuple[User, Database, Mail]:
    """Make an account for the address that the link proves, and accept.

    Raises LinkNotValid, ValidationFailed, PlanLimitReached, NotAllowed where there are no new accounts, or Conflict
    when the address has one.
    """
    invitation = invitations.look(session, token)
    if not may_join():
        raise NotAllowed("There are no new accounts here. Ask whoever runs this installation for one.")
    if users.by_email(session, invitation.email):
        raise Conflict("You have an account already: sign in, then accept.")
    user = users.create_user(session, actor, invitation.email, password)
    as_user = Actor("user", user, ip=actor.ip, request_id=actor.request_id)
    database, told = accept(session, as_user, invitation.id)
    return user, database, told


def may_join() -> bool:
    """Whether an invitation is enough to make an account."""
    return settings().sign_up != "closed"


def _find(session: Session, actor: Actor, invitation_id: uuid.UUID) -> tuple[User, Invitation]:
    """The actor's locked row, and the open invitation of their address: of two answers at once one gets it."""
    mark_authorized()
    if actor.user is None:
        raise InvitationNotFound
    user = users.lock(session, actor.user.id)
    query = select(Invitation).where(Invitation.id == invitation_id, Invitation.email == func.lower(user.email))
    invitation = session.scalar(query.with_for_update(of=Invitation).execution_options(populate_existing=True))
    if invitation is None or not invitations.stands(invitation):
        raise InvitationNotFound
    return user, invitation


def _join(session: Session, user: User, database: Database, level: str) -> None:
    if user.id == database.owner_id or any(member.user_id == user.id for member in database.members):
        raise Conflict("You have access to this database already.")
    database.members.append(Member(id=uuid.uuid4(), user=user, level=level))
    session.flush()


def _require_room(session: Session, user: User, database: Database) -> None:
    """Raises PlanLimitReached when the plan has no room for one more database, or for this one's size."""
    plans.require_room(session, user)
    plan = plans.plan_of(user)
    if database.size_bytes > plan.storage_bytes:
        have, most = pretty(database.size_bytes), pretty(plan.storage_bytes)
        raise PlanLimitReached(f"It holds {have}; the {plan.title} plan allows {most} a database.")
