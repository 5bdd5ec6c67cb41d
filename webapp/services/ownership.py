"""Who owns a database: handing one over."""

import uuid

from sqlalchemy.orm import Session

from webapp.models import Database, Member, User
from webapp.services import audit, member_credentials
from webapp.services.actors import Actor


def hand_over(session: Session, actor: Actor, database: Database, owner: User, *, stays: bool = False) -> None:
    """Make *owner* the database's owner; with *stays* the one of now becomes an admin member.

    Nothing changes on a host but that the new owner's role as a member ends. All other members stay, with theirs.
    """
    before = database.owner
    for member in [member for member in database.members if member.user_id == owner.id]:
        member_credentials.end(session, actor, database, member)
        database.members.remove(member)
    database.owner = owner
    if stays:
        database.members.append(Member(id=uuid.uuid4(), user=before, level="admin"))
    session.flush()
    details = {"from": before.email, "to": owner.email, "stays": stays}
    audit.record(session, actor, "database.hand_over", database.name, database=database, details=details)
