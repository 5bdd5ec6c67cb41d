"""Secrets the control plane keeps: tenant passwords and stored answers, AES-256-GCM under a rotatable key."""

import base64
import binascii
import secrets
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from webapp.config import settings

NONCE_BYTES = 12
KEY_ID_BYTES = 4


class VaultError(Exception):
    """A key is missing or malformed, or what was stored does not open with any key."""


class Vault:
    """Encrypts with the first key, decrypts with whichever key wrote it.

    Stored form: 4 bytes of the key's SHA-256, 12 bytes nonce, ciphertext with tag. *context* is authenticated
    with it, so that one row's secret cannot be pasted into another row.
    """

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise VaultError("DBHOST_ENCRYPTION_KEYS needs at least one key of 32 bytes in URL-safe base64.")
        self._keys = {sha256(key).digest()[:KEY_ID_BYTES]: AESGCM(key) for key in keys}
        self._current = sha256(keys[0]).digest()[:KEY_ID_BYTES]

    @classmethod
    def from_text(cls, text: str) -> "Vault":
        """Read keys separated by white space or commas, the current one first."""
        try:
            return cls([base64.urlsafe_b64decode(word) for word in text.replace(",", " ").split()])
        except binascii.Error:
            raise VaultError("DBHOST_ENCRYPTION_KEYS is not URL-safe base64.") from None

    def encrypt(self, secret: str, context: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._current + nonce + self._keys[self._current].encrypt(nonce, secret.encode(), context.encode())

    def decrypt(self, stored: bytes, context: str) -> str:
        """Raises VaultError when the key is gone or the text was changed."""
        cipher = self._keys.get(stored[:KEY_ID_BYTES])
        if cipher is None:
            raise VaultError("The key that encrypted this secret is not configured.")
        body = stored[KEY_ID_BYTES:]
        try:
            return cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], context.encode()).decode()
        except InvalidTag:
            raise VaultError("The stored secret was changed or belongs elsewhere.") from None


@lru_cache(maxsize=1)
def vault() -> Vault:
    """The process's vault; the worker, which has no key, never asks for it."""
    return Vault.from_text(settings().encryption_keys.get_secret_value())
