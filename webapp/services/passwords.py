"""People's passwords: argon2id, one length rule, and equal time for users that do not exist."""

from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from webapp.services.errors import ValidationFailed

MIN_LENGTH = 8  # NIST SP 800-63B
MAX_LENGTH = 256
hasher = PasswordHasher()


def check_password(password: str) -> str:
    """Return *password* when it is long enough to be one; raises ValidationFailed."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        message = f"Use {MIN_LENGTH} to {MAX_LENGTH} characters."
        raise ValidationFailed("The password is not allowed.", errors={"password": [message]})
    return password


def hash_password(password: str) -> str:
    return hasher.hash(check_password(password))


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return hasher.hash("a password that nobody has")


def matches(stored: str | None, password: str) -> bool:
    """Whether *password* is the one hashed in *stored*; takes as long when there is no such user."""
    try:
        return hasher.verify(stored or _nobodys_hash(), password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
