"""What people do to their own account by links sent to their address: sign up, a new password, another address.

Each request answers alike whether the address is known or not; only the mail, which its owner alone reads, differs.
A user exists only once the link was followed, so that every user's address is verified.
"""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.gateways.mail import Mail
from webapp.models import User
from webapp.services import audit, auth_sessions, identities, mails, one_time_tokens, users
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, LinkNotValid, NotAllowed
from webapp.services.guards import mark_authorized
from webapp.services.identities import Claims


def require_sign_up(mode: str | None = None) -> None:
    """Raises NotAllowed unless anybody may make an account."""
    mark_authorized()
    if (mode or settings().sign_up) != "open":
        raise NotAllowed("Accounts of this installation are made by invitation.")


def request_sign_up(session: Session, actor: Actor, email: str) -> Mail:
    """The mail that leads to an account, or that says there is one. Raises NotAllowed or ValidationFailed."""
    require_sign_up()
    email = users.check_email(email)
    audit.record(session, actor, "user.request_sign_up", email)
    if users.by_email(session, email):
        return mails.has_account(email)
    return mails.sign_up(email, one_time_tokens.issue(session, "sign_up", email=email))


def request_federated_sign_up(
    session: Session, actor: Actor, email: str, issuer: str, subject: str, may_sign_up: bool
) -> Mail:
    """The mail that proves an address which a provider did not vouch for, before an account is made with it.

    Raises NotAllowed or ValidationFailed.
    """
    mark_authorized()
    email = users.check_email(email)
    audit.record(session, actor, "user.request_sign_up", email, details={"issuer": issuer})
    if users.by_email(session, email):
        return mails.has_account(email)
    if not may_sign_up:
        raise NotAllowed("The provider does not vouch for this address, and no account may be made with it.")
    details = {"issuer": issuer, "subject": subject}
    return mails.sign_up(email, one_time_tokens.issue(session, "sign_up", email=email, details=details))


def finish_sign_up(session: Session, actor: Actor, token: str, password: str) -> User:
    """Make the user whose address the link proves. Raises LinkNotValid, ValidationFailed or Conflict."""
    mark_authorized()
    found = one_time_tokens.use(session, "sign_up", token)
    user = users.create_user(session, actor, found.email or "", password)
    if "issuer" in found.details:
        claims = Claims(found.details["issuer"], found.details["subject"], user.email, verified=True, may_sign_up=True)
        identities.link(session, actor, user, claims)
    return user


def request_reset(session: Session, actor: Actor, email: str) -> Mail | None:
    """The mail with a link to a new password; None for an unknown or banned user. Raises ValidationFailed."""
    mark_authorized()
    email = users.check_email(email)
    audit.record(session, actor, "user.request_password_reset", email)
    user = users.by_email(session, email)
    if user is None or user.state != "active":
        return None
    one_time_tokens.end_all(session, user, "reset_password")
    return mails.reset_password(user.email, one_time_tokens.issue(session, "reset_password", user=user))


def reset_password(session: Session, actor: Actor, token: str, password: str) -> tuple[User, Mail]:
    """Set the password and end every session: whoever was in is out. Raises LinkNotValid or ValidationFailed."""
    mark_authorized()
    user = one_time_tokens.use(session, "reset_password", token).user
    if user is None:
        raise LinkNotValid
    users.set_password(user, password)
    ended = auth_sessions.revoke_all(session, user)
    one_time_tokens.end_all(session, user, "reset_password", "second_factor")
    as_user = Actor("user", user, ip=actor.ip, request_id=actor.request_id)
    audit.record(session, as_user, "user.reset_password", user.email, details={"sessions_ended": ended})
    return user, mails.password_changed(user.email)


def request_email_change(session: Session, actor: Actor, user: User, email: str) -> Mail:
    """The mail to the new address, whose link makes it the user's. Raises ValidationFailed."""
    mark_authorized()
    email = users.check_email(email)
    audit.record(session, actor, "user.request_email_change", user.email, details={"to": email})
    one_time_tokens.end_all(session, user, "change_email")
    known = users.by_email(session, email)
    if known is not None and known.id != user.id:
        return mails.has_account(email)
    return mails.change_email(email, one_time_tokens.issue(session, "change_email", user=user, email=email))


def change_email(session: Session, actor: Actor, token: str) -> tuple[User, Mail]:
    """Give the user the address that the link proves; the old one is told. Raises LinkNotValid or Conflict."""
    mark_authorized()
    found = one_time_tokens.use(session, "change_email", token)
    if found.user is None or found.email is None:
        raise LinkNotValid
    told = mails.email_changed(found.user.email, found.email)
    set_email(session, actor, found.user, found.email)
    return found.user, told


def set_email(session: Session, actor: Actor, user: User, email: str) -> None:
    """Give *user* a verified address. Links to the old one end. Raises Conflict when somebody else has it."""
    before = user.email
    try:
        with session.begin_nested():
            user.email = email
            session.flush()
    except IntegrityError:
        raise Conflict(f"There is already a user {email}.") from None
    one_time_tokens.end_all(session, user, "reset_password", "change_email")
    audit.record(session, actor, "user.change_email", email, details={"from": before, "user": str(user.id)})


def anonymous(ip: str | None, request_id: str | None = None) -> Actor:
    """The actor of a request by nobody in particular."""
    return Actor("system", ip=ip, request_id=request_id)
