"""Invitations to a database, by mail: made by those who run it, answered by whoever has the address.

The same happens whether or not somebody has an account with the address; only its holder finds out more.
"""

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from webapp.gateways.mail import Mail
from webapp.models import Database, Invitation
from webapp.services import access, audit, databases, mails, members, users
from webapp.services.actors import Actor
from webapp.services.digests import digest
from webapp.services.errors import Conflict, InvitationNotFound, LinkNotValid, Unauthorized
from webapp.services.guards import mark_authorized

LASTS = timedelta(days=7)
KEPT = timedelta(days=30)
MOST = 50


def invite(session: Session, actor: Actor, database: Database, email: str, level: str) -> tuple[Invitation, Mail]:
    """Invite an address to be a member; once more, at another level perhaps. The caller has checked `operate`.

    Raises ValidationFailed, or Conflict (has access already, too many invitations).
    """
    members.check_level(level)
    databases.lock(session, database)
    found, mail = put(session, actor, database, email, level)
    record(session, actor, "invitation.create", found)
    return found, mail


def put(
    session: Session, actor: Actor, database: Database, email: str, level: str, *, stays: bool = False
) -> tuple[Invitation, Mail]:
    """The row of this invitation with a new link, and the mail that carries it. The caller holds the database's lock.

    Raises ValidationFailed, Conflict, or Unauthorized without a person who invites.
    """
    if actor.user is None:
        raise Unauthorized("Only a person can invite somebody.")
    email = users.check_email(email).lower()
    session.execute(delete(Invitation).where(Invitation.expires_at < datetime.now(UTC) - KEPT))
    _require_no_access(database, email, level)
    same = (Invitation.level == "owner") if level == "owner" else (Invitation.email == email)
    query = select(Invitation).where(Invitation.database_id == database.id, same)
    found = session.scalar(query if level == "owner" else query.where(Invitation.level != "owner"))
    if found is None:
        _require_room(session, database)
        found = Invitation(id=uuid.uuid4(), database_id=database.id, database=database)
    found.email, found.level, found.stays, found.invited_by = email, level, stays, actor.user
    return found, _send(session, found)


def resend(session: Session, actor: Actor, database: Database, invitation_id: uuid.UUID) -> tuple[Invitation, Mail]:
    """Another link for another seven days; the old one ends. The caller has checked `operate`.

    Raises InvitationNotFound.
    """
    found = find(session, database, invitation_id)
    if actor.user is not None:
        found.invited_by = actor.user
    record(session, actor, "invitation.resend", found)
    return found, _send(session, found)


def withdraw(session: Session, actor: Actor, database: Database, invitation_id: uuid.UUID) -> Invitation:
    """End an invitation. The caller has checked `operate`. Raises InvitationNotFound."""
    found = find(session, database, invitation_id)
    record(session, actor, "invitation.withdraw", found)
    session.delete(found)
    return found


def of_database(session: Session, database: Database) -> list[Invitation]:
    """Who is invited to be a member, the oldest first; those that ended too. The caller has checked `operate`."""
    query = select(Invitation).where(Invitation.database_id == database.id, Invitation.level != "owner")
    return list(session.scalars(query.order_by(Invitation.created_at, Invitation.id)))


def find(session: Session, database: Database, invitation_id: uuid.UUID) -> Invitation:
    """An invitation to be a member of this very database. Raises InvitationNotFound."""
    query = select(Invitation).where(Invitation.id == invitation_id, Invitation.database_id == database.id)
    found = session.scalar(query.where(Invitation.level != "owner").with_for_update(of=Invitation))
    if found is None:
        raise InvitationNotFound
    return found


def look(session: Session, token: str) -> Invitation:
    """The open invitation of a link, which stays usable: opening a link must not use it up. Raises LinkNotValid."""
    mark_authorized()
    found = session.scalar(select(Invitation).where(Invitation.token_hash == digest(token)))
    if found is None or not stands(found):
        raise LinkNotValid("This invitation was answered or withdrawn already, or it is too old. Ask for another.")
    return found


def stands(invitation: Invitation) -> bool:
    """Whether it can be accepted: in time, the database is there, and who invited may still do so."""
    database, inviter = invitation.database, invitation.invited_by
    if invitation.expires_at <= datetime.now(UTC) or database.deleted_at or database.desired_state == "absent":
        return False
    needed = "own" if invitation.level == "owner" else "operate"
    return inviter.state == "active" and access.allows(Actor("user", inviter), database, needed)


def record(session: Session, actor: Actor, action: str, invitation: Invitation) -> None:
    """The audit event of what is done with an invitation."""
    database, details = invitation.database, {"email": invitation.email, "level": invitation.level}
    audit.record(session, actor, action, database.name, database=database, details=details)


def _send(session: Session, invitation: Invitation) -> Mail:
    """Give the row a new link and time, and write the mail."""
    token, now = secrets.token_urlsafe(32), datetime.now(UTC)
    invitation.token_hash, invitation.sent_at, invitation.expires_at = digest(token), now, now + LASTS
    session.add(invitation)
    session.flush()
    to, by, name = invitation.email, invitation.invited_by.email, invitation.database.display_name
    if invitation.level == "owner":
        return mails.transfer(to, by, name, token)
    return mails.invitation(to, by, name, invitation.level, token)


def _require_no_access(database: Database, email: str, level: str) -> None:
    if database.owner.email.lower() == email:
        raise Conflict(f"{email} owns this database.")
    if level != "owner" and any(member.user.email.lower() == email for member in database.members):
        raise Conflict(f"{email} is a member already.")


def _require_room(session: Session, database: Database) -> None:
    query = select(func.count()).where(Invitation.database_id == database.id)
    if (session.scalar(query) or 0) >= MOST:
        raise Conflict(f"There are {MOST} open invitations to this database. Withdraw one first.")
