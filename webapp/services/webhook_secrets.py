"""The signing secrets of webhook endpoints: shown once, kept encrypted, two at a time while one replaces the other."""

import base64
import secrets
import uuid
from datetime import UTC, datetime, timedelta

from standardwebhooks import Webhook

from webapp.models import WebhookEndpoint
from webapp.services.vault import vault

MARK = "whsec_"
SECRET_BYTES = 32
# How long the old secret signs too.
OVERLAP = timedelta(days=1)


def new_secret() -> str:
    return MARK + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def seal(endpoint_id: uuid.UUID, secret: str) -> bytes:
    """Encrypted for this endpoint's row alone."""
    return vault().encrypt(secret, _context(endpoint_id))


def rotate(endpoint: WebhookEndpoint, *, keep_old: bool) -> str:
    """Give *endpoint* another secret and return it; the old one signs for a day more, or no more at once."""
    secret = new_secret()
    endpoint.previous_secret_encrypted = endpoint.secret_encrypted if keep_old else None
    endpoint.previous_secret_until = datetime.now(UTC) + OVERLAP if keep_old else None
    endpoint.secret_encrypted = seal(endpoint.id, secret)
    return secret


def opened(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """The secrets that sign at *now*, the newest first. Raises VaultError."""
    sealed = [endpoint.secret_encrypted]
    until = endpoint.previous_secret_until
    if endpoint.previous_secret_encrypted is not None and until is not None and now < until:
        sealed.append(endpoint.previous_secret_encrypted)
    return [vault().decrypt(one, _context(endpoint.id)) for one in sealed]


def signed_headers(message_id: str, body: bytes, sealing: list[str], now: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks; one signature for each secret, separated by blanks."""
    signatures = [Webhook(secret).sign(message_id, now, body.decode()) for secret in sealing]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _context(endpoint_id: uuid.UUID) -> str:
    return f"webhook endpoint {endpoint_id}"
