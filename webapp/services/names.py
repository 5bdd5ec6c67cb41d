"""The rule for database names: checked here for the person, and again by the host's module for itself."""

import re
import secrets
import unicodedata

from webapp.services.errors import ValidationFailed

PATTERN = re.compile(r"[a-z][a-z0-9-]{1,48}[a-z0-9]", re.ASCII)
RULE = (
    "Use 3 to 50 characters: lower-case letters, digits and hyphens, starting with a letter, not ending with a hyphen."
)
RESERVED = frozenset({
    "all", "sameuser", "samerole", "samegroup", "replication", "pgbouncer", "postgres",
    "template0", "template1", "none", "public",
})  # fmt: skip
RESERVED_PREFIX = "dbhost-"
# Zero-width non-joiner and joiner: Persian and Indic words need the one, many emoji the other.
JOINERS = "\u200c\u200d"
# Printable by their category, and still nothing to be seen: fillers of Hangul, a Braille pattern without dots.
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
SUFFIX_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def check_name(name: str) -> str:
    """Return *name* when the rule allows it; raises ValidationFailed naming the field."""
    if not PATTERN.fullmatch(name):
        raise ValidationFailed("The name is not allowed.", errors={"name": [RULE]})
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise ValidationFailed("The name is reserved.", errors={"name": ["This name is reserved. Choose another."]})
    return name


def is_label(text: str) -> bool:
    """Whether a text may name something to a person: one line, no control characters, and something to be seen.

    Joiners may stand between two characters; elsewhere they would only make names that look alike.
    """
    plain = text.translate(dict.fromkeys(map(ord, JOINERS)))
    joined = text[:1] not in JOINERS and text[-1:] not in JOINERS
    return bool(text) and joined and plain.isprintable() and any(_is_seen(character) for character in plain)


def _is_seen(character: str) -> bool:
    return character not in BLANK and unicodedata.category(character)[0] in "LNPS"


def check_display_name(display_name: str) -> str:
    """Return the trimmed display name (1 to 100 characters that show something); raises ValidationFailed."""
    trimmed = display_name.strip()
    if len(trimmed) > 100 or not is_label(trimmed):
        message = "Use 1 to 100 characters, of which some can be seen, without line breaks or control characters."
        raise ValidationFailed("The display name is not allowed.", errors={"displayName": [message]})
    return trimmed


def derive_name(display_name: str) -> str:
    """A valid name from free text and a short random suffix, such as `my-shop-k7x2m9`."""
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-").lstrip("0123456789-")[:40].rstrip("-")
    if not slug or slug.startswith(RESERVED_PREFIX.rstrip("-")):
        slug = "db"
    suffix = "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(6))
    return check_name(f"{slug}-{suffix}")
