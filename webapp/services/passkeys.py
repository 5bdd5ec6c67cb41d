"""Passkeys: a device's key in place of a code, or of the whole sign-in when the device checks who holds it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from webapp.models import Passkey, User
from webapp.services import audit, one_time_tokens, second_factors
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, NotFound, SignInFailed, ValidationFailed
from webapp.services.guards import mark_authorized

MAX_PASSKEYS = 20


@dataclass(frozen=True)
class RelyingParty:
    """The name that passkeys are bound to, and the address of the pages that may ask for them."""

    id: str
    origin: str


@dataclass(frozen=True)
class Asked:
    """What the browser is asked, as JSON, and the token that its answer must come with."""

    options: str
    token: str


def ask_to_create(session: Session, party: RelyingParty, user: User) -> Asked:
    """Options for a new passkey of *user*, none that they have already."""
    mark_authorized()
    held = second_factors.of_user(session, user).passkeys
    options = generate_registration_options(
        rp_id=party.id,
        rp_name="DBHost",
        user_name=user.email,
        user_id=user.id.bytes,
        exclude_credentials=[PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in held],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    return Asked(options_to_json(options), _remember(session, options.challenge, user))


def create(
    session: Session, actor: Actor, party: RelyingParty, user: User, token: str, credential: str, label: str
) -> tuple[Passkey, list[str]]:
    """Keep the new passkey; the first second factor brings recovery codes. Raises LinkNotValid or ValidationFailed."""
    mark_authorized()
    label = label.strip() or "Passkey"
    if len(label) > 60 or not label.isprintable():
        raise ValidationFailed("The name is not allowed.", errors={"label": ["Use 1 to 60 printable characters."]})
    challenge = _challenge(session, token, user)
    made = _verified(
        lambda: verify_registration_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=party.id, expected_origin=party.origin
        )
    )
    passkey = Passkey(
        id=uuid.uuid4(), user=user, user_id=user.id, credential_id=made.credential_id, label=label,
        public_key=made.credential_public_key, sign_count=made.sign_count,
    )  # fmt: skip
    _add(session, user, passkey)
    audit.record(session, actor, "user.add_passkey", user.email, details={"label": label})
    return passkey, second_factors.first_codes(session, actor, user)


def ask_to_sign(session: Session, party: RelyingParty, user: User | None) -> Asked:
    """Options for using a passkey: one of *user*'s, or any that the device offers for this name."""
    mark_authorized()
    held = second_factors.of_user(session, user).passkeys if user else []
    options = generate_authentication_options(
        rp_id=party.id,
        allow_credentials=[PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in held],
        user_verification=UserVerificationRequirement.PREFERRED if user else UserVerificationRequirement.REQUIRED,
    )
    return Asked(options_to_json(options), _remember(session, options.challenge, user))


def check(session: Session, party: RelyingParty, user: User | None, token: str, credential: str) -> User:
    """Whose passkey signed; without *user* the device must have checked its holder. Raises SignInFailed."""
    mark_authorized()
    challenge = _challenge(session, token, user)
    passkey = _find(session, credential)
    if passkey is None or (user is not None and passkey.user_id != user.id) or passkey.user.state != "active":
        raise SignInFailed("This passkey is not known here.")
    done = _verified(
        lambda: verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=user is None,
        )
    )
    passkey.sign_count, passkey.last_used_at = done.new_sign_count, datetime.now(UTC)
    return passkey.user


def remove(session: Session, actor: Actor, user: User, passkey_id: uuid.UUID) -> Passkey:
    """Forget one of the user's own passkeys. Raises NotFound."""
    mark_authorized()
    passkey = session.get(Passkey, passkey_id)
    if passkey is None or passkey.user_id != user.id:
        raise NotFound("There is no such passkey.")
    session.delete(passkey)
    session.flush()
    second_factors.forget_codes_without_factor(session, user)
    audit.record(session, actor, "user.remove_passkey", user.email, details={"label": passkey.label})
    return passkey


def _add(session: Session, user: User, passkey: Passkey) -> None:
    """Raises Conflict for a passkey that somebody has already, or one too many."""
    if len(second_factors.of_user(session, user).passkeys) >= MAX_PASSKEYS:
        raise Conflict(f"{MAX_PASSKEYS} passkeys are enough. Remove one first.")
    if session.scalar(select(Passkey.id).where(Passkey.credential_id == passkey.credential_id)):
        raise Conflict("This passkey is known already.")
    session.add(passkey)
    session.flush()


def _find(session: Session, credential: str) -> Passkey | None:
    raw_id = _verified(lambda: parse_authentication_credential_json(credential)).raw_id
    return session.scalar(select(Passkey).where(Passkey.credential_id == raw_id))


def _remember(session: Session, challenge: bytes, user: User | None) -> str:
    details = {"challenge": bytes_to_base64url(challenge)}
    return one_time_tokens.issue(session, "passkey", user=user, details=details)


def _challenge(session: Session, token: str, user: User | None) -> bytes:
    """The challenge of *token*, used up. Raises SignInFailed when it was made for somebody else."""
    found = one_time_tokens.use(session, "passkey", token)
    if found.user_id != (user.id if user else None):
        raise SignInFailed("This passkey was asked for by somebody else.")
    return base64url_to_bytes(found.details["challenge"])


def _verified(check_it: Callable[[], Any]) -> Any:
    try:
        return check_it()
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise SignInFailed("The passkey's answer could not be verified. Try again.") from None
