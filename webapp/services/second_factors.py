"""The second factor: codes of an authenticator app, each taken once, and recovery codes. Passkeys are next door."""

import base64
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import pyotp
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from webapp.models import Passkey, RecoveryCode, TotpSecret, User
from webapp.services import audit
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, SignInFailed, ValidationFailed
from webapp.services.guards import mark_authorized
from webapp.services.vault import vault

STEP_S = 30
DRIFT_STEPS = 1  # a phone's clock may be half a minute off
CODES = 10


@dataclass(frozen=True)
class SecondFactors:
    """What a user has."""

    totp: bool
    passkeys: list[Passkey]
    recovery_codes: int

    @property
    def any(self) -> bool:
        return self.totp or bool(self.passkeys)


def of_user(session: Session, user: User) -> SecondFactors:
    """All that the user has; an app whose first code never came does not count."""
    mark_authorized()
    totp = session.get(TotpSecret, user.id)
    passkeys = session.scalars(select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.created_at))
    left = select(func.count()).where(RecoveryCode.user_id == user.id, RecoveryCode.used_at.is_(None))
    return SecondFactors(bool(totp and totp.confirmed_at), list(passkeys), session.scalar(left) or 0)


def start_totp(session: Session, actor: Actor, user: User) -> str:
    """A new secret to show to the authenticator app. Raises Conflict while another one counts."""
    mark_authorized()
    known = session.get(TotpSecret, user.id, with_for_update=True)
    if known is not None and known.confirmed_at:
        raise Conflict("There is an authenticator app already. Remove it first.")
    secret = pyotp.random_base32()
    totp = known or TotpSecret(user_id=user.id)
    totp.secret_encrypted = vault().encrypt(secret, _context(user))
    session.add(totp)
    audit.record(session, actor, "user.start_totp", user.email)
    return secret


def pending_secret(session: Session, user: User) -> str | None:
    """The secret that waits for its first code."""
    totp = session.get(TotpSecret, user.id)
    waits = totp is not None and totp.confirmed_at is None
    return vault().decrypt(totp.secret_encrypted, _context(user)) if waits and totp else None


def confirm_totp(session: Session, actor: Actor, user: User, code: str) -> list[str]:
    """Let the app count from now on; the first second factor brings recovery codes. Raises ValidationFailed."""
    mark_authorized()
    totp = session.get(TotpSecret, user.id)
    if totp is None or totp.confirmed_at is not None:
        raise ValidationFailed("Start anew.", errors={"code": ["Start anew: there is nothing to confirm."]})
    if not _take(session, user, totp, code):
        message = "This is not the code that the app shows now."
        raise ValidationFailed("The code is wrong.", errors={"code": [message]})
    totp.confirmed_at = datetime.now(UTC)
    audit.record(session, actor, "user.add_totp", user.email)
    return first_codes(session, actor, user)


def remove_totp(session: Session, actor: Actor, user: User) -> None:
    """Forget the authenticator app; without any second factor the recovery codes go too."""
    mark_authorized()
    session.execute(delete(TotpSecret).where(TotpSecret.user_id == user.id))
    audit.record(session, actor, "user.remove_totp", user.email)
    forget_codes_without_factor(session, user)


def check_code(session: Session, user: User, code: str) -> str:
    """`totp` or `recovery`, whichever *code* was; it is used up. Raises SignInFailed."""
    mark_authorized()
    totp = session.get(TotpSecret, user.id)
    if totp is not None and totp.confirmed_at and _take(session, user, totp, code):
        return "totp"
    used = session.execute(
        update(RecoveryCode)
        .where(RecoveryCode.user_id == user.id, RecoveryCode.code_hash == _hash(code), RecoveryCode.used_at.is_(None))
        .values(used_at=datetime.now(UTC))
        .returning(RecoveryCode.id)
    ).first()
    if used is None:
        raise SignInFailed("The code is wrong, or it was used already.")
    return "recovery"


def first_codes(session: Session, actor: Actor, user: User) -> list[str]:
    """Recovery codes for somebody who has none yet; an empty list for others."""
    return [] if of_user(session, user).recovery_codes else new_codes(session, actor, user)


def new_codes(session: Session, actor: Actor, user: User) -> list[str]:
    """Ten new recovery codes, which are never shown again; the old ones end."""
    mark_authorized()
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    codes = [_readable(secrets.token_bytes(10)) for _ in range(CODES)]
    session.add_all(RecoveryCode(id=uuid.uuid4(), user_id=user.id, code_hash=_hash(code)) for code in codes)
    session.flush()
    audit.record(session, actor, "user.new_recovery_codes", user.email)
    return codes


def forget_codes_without_factor(session: Session, user: User) -> None:
    """Recovery codes stand in for a second factor: without one they have no use."""
    if not of_user(session, user).any:
        session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))


def remove_all(session: Session, actor: Actor, user: User) -> None:
    """Take every second factor from a user who lost them all; an operator has made sure who asks."""
    mark_authorized()
    for model in (TotpSecret, Passkey, RecoveryCode):
        session.execute(delete(model).where(model.user_id == user.id))
    audit.record(session, actor, "user.remove_second_factors", user.email)


def _take(session: Session, user: User, totp: TotpSecret, code: str) -> bool:
    """Whether *code* is one of about now; it and all older ones are used up with it."""
    digits = "".join(code.split())
    step = _step_of(pyotp.TOTP(vault().decrypt(totp.secret_encrypted, _context(user))), digits)
    if step is None:
        return False
    taken = session.execute(
        update(TotpSecret)
        .where(TotpSecret.user_id == user.id, TotpSecret.last_step < step)
        .values(last_step=step)
        .returning(TotpSecret.last_step)
    )
    return taken.first() is not None


def _step_of(totp: pyotp.TOTP, digits: str) -> int | None:
    now = int(time.time()) // STEP_S
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        if digits.isascii() and totp.verify(digits, for_time=step * STEP_S):
            return step
    return None


def _context(user: User) -> str:
    return f"totp/{user.id}"


def _readable(secret: bytes) -> str:
    text = base64.b32encode(secret).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _hash(code: str) -> bytes:
    return sha256(code.strip().lower().replace("-", "").replace(" ", "").encode()).digest()
