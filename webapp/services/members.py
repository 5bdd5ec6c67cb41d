"""Members: other users with access to a database, each at a level, and with a role on the host if they want one."""

import uuid

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.models import Database, Member, User
from webapp.models.databases import LEVELS
from webapp.services import access, audit, member_credentials, users
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, DatabaseNotFound, MemberNotFound, NotFound, ValidationFailed


def list_members(session: Session, database: Database) -> list[Member]:
    """All members, the oldest first; the caller has checked permission `view`."""
    query = select(Member).where(Member.database_id == database.id).order_by(Member.created_at, Member.id)
    return list(session.scalars(query))


def levels(session: Session, user: User) -> dict[uuid.UUID, str]:
    """The user's access level by the id of each database that is shared with them."""
    query = select(Member.database_id, Member.level).where(Member.user_id == user.id)
    return {row.database_id: row.level for row in session.execute(query)}


def add_member(session: Session, actor: Actor, database: Database, email: str, level: str) -> Member:
    """Give the user with this e-mail address access. The caller has checked permission `operate`.

    Raises ValidationFailed, NotFound when nobody has the address, or Conflict when they have access already.
    """
    check_level(level)
    user = users.by_email(session, email.strip())
    if user is None:
        raise NotFound("There is no user with this e-mail address.")
    if user.id == database.owner_id:
        raise Conflict(f"{user.email} owns this database.")
    member = Member(id=uuid.uuid4(), database_id=database.id, user=user, level=level)
    try:
        with session.begin_nested():
            session.add(member)
    except IntegrityError:
        raise Conflict(f"{user.email} is a member already.") from None
    _record(session, actor, database, "member.add", member)
    return member


def change_level(session: Session, actor: Actor, database: Database, member_id: uuid.UUID, level: str) -> Member:
    """Move a member to another level. The caller has checked permission `operate`. Raises MemberNotFound."""
    check_level(level)
    member = find_member(session, database, member_id)
    before, member.level = member.level, level
    if (before == "viewer") != (level == "viewer"):  # a role that wrote is not made to read, nor the other way round
        member_credentials.end(session, actor, database, member)
    _record(session, actor, database, "member.change_level", member, before=before)
    return member


def remove_member(session: Session, actor: Actor, database: Database, member_id: uuid.UUID) -> None:
    """End a membership: anybody may leave, and who may operate the database may remove others.

    Raises MemberNotFound, or DatabaseNotFound as any call beyond the permission does.
    """
    member = find_member(session, database, member_id)
    leaves = actor.user is not None and actor.user.id == member.user_id
    if not leaves and not access.allows(actor, database, "operate"):
        raise DatabaseNotFound
    _record(session, actor, database, "member.leave" if leaves else "member.remove", member)
    member_credentials.end(session, actor, database, member)
    session.delete(member)


def leave(session: Session, actor: Actor, database: Database) -> None:
    """End the actor's own membership. The caller has checked permission `member`. Raises MemberNotFound."""
    own = member_credentials.of_actor(actor, database)
    if own is None:
        raise MemberNotFound
    remove_member(session, actor, database, own.id)


def find_member(session: Session, database: Database, member_id: uuid.UUID) -> Member:
    """The member of this very database. Raises MemberNotFound."""
    member = session.scalar(select(Member).where(Member.id == member_id, Member.database_id == database.id))
    if member is None:
        raise MemberNotFound
    return member


def check_level(level: str) -> None:
    """Raises ValidationFailed for a level that does not exist."""
    if level not in LEVELS:
        sentence = f"Use one of {', '.join(LEVELS)}."
        raise ValidationFailed("The access level is not one of those that exist.", errors={"role": [sentence]})


def _record(session: Session, actor: Actor, database: Database, action: str, member: Member, **details: str) -> None:
    told = {"member": member.user.email, "level": member.level, **details}
    audit.record(session, actor, action, database.name, database=database, details=told)
