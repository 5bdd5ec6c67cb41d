"""SSH host keys as they are pinned: kind and key, nothing else; and what people compare, their fingerprints."""

import base64
import binascii
import hashlib

from webapp.services.errors import ValidationFailed

KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def check_key(text: str) -> str:
    """`kind base64` of a public key line, its comment left out. Raises ValidationFailed."""
    kind, _, rest = text.strip().partition(" ")
    key = rest.strip().partition(" ")[0]
    try:
        decoded = base64.b64decode(key, validate=True)
    except binascii.Error:
        decoded = b""
    length = int.from_bytes(decoded[:4])
    if kind not in KINDS or decoded[4 : 4 + length] != kind.encode() or len(decoded) < 4 + length + 4:
        words = "Give a host key as in `ssh-ed25519 AAAA…`, a line of a .pub file of /etc/ssh."
        raise ValidationFailed("The host key is not valid.", errors={"hostKey": [words]})
    return f"{kind} {key}"


def fingerprint(key: str) -> str:
    """`SHA256:…` of a pinned key, as OpenSSH shows it."""
    digest = hashlib.sha256(base64.b64decode(key.partition(" ")[2])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def known_hosts_name(address: str, port: int) -> str:
    """How OpenSSH looks a host up in known_hosts."""
    return address if port == 22 else f"[{address}]:{port}"
