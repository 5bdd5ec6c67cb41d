"""Handing a database over to somebody who has to accept it first."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.gateways.mail import Mail
from webapp.models import Database, Invitation
from webapp.services import databases, invitations
from webapp.services.actors import Actor
from webapp.services.errors import InvitationNotFound


def offer(
    session: Session, actor: Actor, database: Database, email: str, *, stays: bool = True
) -> tuple[Invitation, Mail]:
    """Offer the database to an address; an earlier offer ends. With *stays* the owner becomes an admin member then.

    The caller has checked permission `own`. Raises ValidationFailed or Conflict.
    """
    databases.lock(session, database)
    found, mail = invitations.put(session, actor, database, email, "owner", stays=stays)
    invitations.record(session, actor, "transfer.offer", found)
    return found, mail


def of_database(session: Session, database: Database) -> Invitation | None:
    """The offer, also one whose time is over. The caller has checked permission `own`."""
    query = select(Invitation).where(Invitation.database_id == database.id, Invitation.level == "owner")
    return session.scalar(query)


def withdraw(session: Session, actor: Actor, database: Database) -> None:
    """End the offer. The caller has checked permission `own`. Raises InvitationNotFound."""
    databases.lock(session, database)
    found = of_database(session, database)
    if found is None:
        raise InvitationNotFound("This database is not being handed over.")
    invitations.record(session, actor, "transfer.withdraw", found)
    session.delete(found)
