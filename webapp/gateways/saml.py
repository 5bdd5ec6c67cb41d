"""What there is to say of sign-in by SAML; `saml_messages`, which says it, is loaded by who needs it."""

from dataclasses import dataclass

from cryptography.x509 import Certificate


class AnswerRefused(Exception):
    """The answer proves nothing; the reason is the operator's to read, not the visitor's."""


@dataclass(frozen=True)
class Agreement:
    """The identity provider, and the names by which it knows this installation."""

    issuer: str
    url: str
    certificates: frozenset[Certificate]
    audience: str
    recipient: str


@dataclass(frozen=True)
class Answer:
    """Who the provider says it is, and to which request of ours."""

    request_id: str
    subject: str
    email: str | None
