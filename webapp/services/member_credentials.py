"""Members' own credentials: a role of their own on the host, whose password is shown to them once."""

import secrets
import string
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Database, Member, MemberCredential, Operation
from webapp.services import audit, databases
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import Credentials
from webapp.services.errors import DatabaseNotActive, DatabaseNotFound, NotFound, OperationInProgress
from webapp.services.scram import scram_verifier
from webapp.services.vault import vault

# The host's rule: webapp and modules know it by the same test as the rule of names.
SHORT, ALPHABET = 8, string.ascii_lowercase + string.digits


def of_actor(actor: Actor, database: Database) -> Member | None:
    """The actor's own membership of *database*."""
    user_id = actor.user.id if actor.user else None
    return next((member for member in database.members if member.user_id == user_id), None)


def make(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue credentials of the actor's own, or a new password for those there are: every session is then cut once.

    The caller has checked permission `member`. Raises DatabaseNotActive or OperationInProgress.
    """
    databases.lock(session, database)
    if database.status != "active":
        raise DatabaseNotActive(f"The database is {database.status}; this needs it to be active.")
    member = _own(actor, database)
    password = secrets.token_urlsafe(24)
    found = member.credential or MemberCredential(id=uuid.uuid4(), role=_role(database))
    found.verifier = scram_verifier(session, password)
    found.password_encrypted = vault().encrypt(password, str(found.id))
    member.credential = found
    session.flush()
    secret = databases.secret_mark(found.password_encrypted)
    return _queue(session, actor, database, {"made": found.role}, secret)


def take(session: Session, actor: Actor, database: Database, operation: Operation | None = None) -> Credentials:
    """The actor's new credentials, this once: the password is erased with it. The caller commits.

    Only what *operation* made, where one is given. Raises NotFound when there are none or they were shown already, and
    OperationInProgress before the host has them.
    """
    found = _own(actor, database).credential
    sealed = found.password_encrypted if found else None
    wanted = operation.params.get(databases.SECRET) if operation else None
    if found is None or sealed is None or (operation and databases.secret_mark(sealed)[databases.SECRET] != wanted):
        raise NotFound("There is no password to show: it was shown already. Make a new one.")
    if database.applied_generation != database.generation:
        raise OperationInProgress("The host does not have these credentials yet.")
    password = vault().decrypt(sealed, str(found.id))
    found.password_encrypted = None
    audit.record(session, actor, "member.reveal_credentials", database.name, database=database)
    return databases.credentials_of(database, found.role, password)


def give_up(session: Session, actor: Actor, database: Database) -> None:
    """End the actor's own credentials. The caller has checked permission `member`. Raises NotFound."""
    member = _own(actor, database)
    if member.credential is None:
        raise NotFound("You have no credentials of your own here.")
    end(session, actor, database, member)


def revoke(session: Session, actor: Actor, database: Database, member: Member) -> None:
    """End a member's credentials, not the membership. The caller has checked `operate`. Raises NotFound."""
    if member.credential is None:
        raise NotFound("This member has no credentials of their own.")
    end(session, actor, database, member)


def end(session: Session, actor: Actor, database: Database, member: Member) -> None:
    """Take the member's role from the desired state, and queue its end on the host, at once or as soon as possible."""
    if member.credential is None:
        return
    role, member.credential = member.credential.role, None
    session.flush()
    try:
        with session.begin_nested():
            _queue(session, actor, database, {"ended": role})
    except (OperationInProgress, DatabaseNotActive):
        database.members_changed = True
        audit.record(session, actor, "database.members", database.name, database=database, details={"ended": role})


def queue_changed(session: Session) -> int:
    """Queue what `end` had to leave; how many operations. The caller commits."""
    waiting = select(Database).where(Database.members_changed, Database.deleted_at.is_(None))
    done = 0
    for database in session.scalars(waiting.with_for_update(of=Database, skip_locked=True)).unique():
        try:
            with session.begin_nested():
                _queue(session, SYSTEM, database, {})
                done += 1
        except OperationInProgress:
            continue
        except DatabaseNotActive:  # it is being deleted, and its members' roles with it
            database.members_changed = False
    return done


def _queue(
    session: Session,
    actor: Actor,
    database: Database,
    details: dict[str, str],
    params: dict[str, str] | None = None,
) -> Operation:
    operation = databases.queue_change(session, actor, database, "database.members", params=params, details=details)
    database.members_changed = False
    return operation


def _own(actor: Actor, database: Database) -> Member:
    member = of_actor(actor, database)
    if member is None:
        raise DatabaseNotFound
    return member


def _role(database: Database) -> str:
    """No e-mail and no name of a person: every tenant of the cluster sees the names of roles."""
    return f"{database.name}." + "".join(secrets.choice(ALPHABET) for _ in range(SHORT))
