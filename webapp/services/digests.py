"""What is stored of a secret that its holder shows again: its SHA-256, which is enough for 128 random bits or more."""

from hashlib import sha256


def digest(secret: str) -> bytes:
    """The 32 bytes that stand in the database for *secret*. Passwords, which are guessed, need `passwords`."""
    return sha256(secret.encode()).digest()
