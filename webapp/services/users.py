"""Users: made by the command line or an admin, found by their e-mail."""

import secrets
import uuid
from dataclasses import dataclass, field

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.db import bound_wait, give_back
from webapp.models import User
from webapp.services import audit, plans
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, SignInFailed, ValidationFailed
from webapp.services.passwords import hash_password, matches


@dataclass(frozen=True)
class EnsuredAdmin:
    """The first admin; the password is there only when it was made just now."""

    email: str
    created: bool
    password: str | None = field(repr=False)


def check_email(email: str) -> str:
    """Return *email* normalised; `user@localhost` is allowed for installations without a domain."""
    local, _, domain = email.strip().rpartition("@")
    try:
        if domain == "localhost":
            return validate_email(f"{local}@example.com", check_deliverability=False).local_part + "@localhost"
        return validate_email(email.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValidationFailed("The e-mail address is not valid.", errors={"email": [str(error)]}) from None


def random_password() -> str:
    """A password for somebody who did not choose one."""
    return secrets.token_urlsafe(15)


def by_email(session: Session, email: str) -> User | None:
    """The user with this e-mail, whatever its case."""
    return session.scalar(select(User).where(func.lower(User.email) == email.strip().lower()))


def lock(session: Session, user_id: uuid.UUID) -> User:
    """The user's row, locked until the transaction ends: two requests at a limit take turns."""
    bound_wait(session)
    query = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one()


def create_user(
    session: Session,
    actor: Actor,
    email: str,
    password: str | None = None,
    *,
    plan: str | None = None,
    admin: bool = False,
) -> User:
    """Add a user; without a password they cannot sign in by one. Raises ValidationFailed or Conflict."""
    email = check_email(email)
    if by_email(session, email):
        raise Conflict(f"There is already a user {email}.")
    user = User(
        id=uuid.uuid4(),
        email=email,
        password_hash=hash_password(password) if password is not None else None,
        platform_role="admin" if admin else "user",
        plan=plans.check_plan(plan or settings().plan),
    )
    session.add(user)
    session.flush()
    audit.record(session, actor, "user.create", email, details={"admin": admin, "plan": user.plan})
    return user


def ensure_admin(session: Session, actor: Actor, email: str, password: str | None) -> EnsuredAdmin:
    """The installation's first admin, made with a random password unless one is given; there already: untouched."""
    if by_email(session, email):
        return EnsuredAdmin(email, created=False, password=None)
    chosen = password or random_password()
    user = create_user(session, actor, email, chosen, admin=True)
    return EnsuredAdmin(user.email, created=True, password=chosen)


def change_password(session: Session, actor: Actor, user: User, current: str, new: str) -> None:
    """Replace the password of a signed-in user; one who has none yet sets it without a current one.

    Raises SignInFailed when the current one is wrong.
    """
    give_back(session)
    if user.password_hash is not None and not matches(user.password_hash, current):
        raise SignInFailed("The current password is wrong.")
    set_password(user, new)
    audit.record(session, actor, "user.change_password", user.email)


def set_password(user: User, new: str) -> None:
    """Store *new* as argon2id. Raises ValidationFailed when it is none."""
    user.password_hash = hash_password(new)
