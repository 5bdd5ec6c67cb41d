"""Signing in by SAML: every answer belongs to one request of ours, and each works once.

A request's id is a one-time token, so that an answer without one, or a second answer to it, finds none. What an answer
proves is kept under another one, which only the browser that asked can use.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from webapp.gateways.saml import Agreement, AnswerRefused
from webapp.services import one_time_tokens
from webapp.services.digests import digest
from webapp.services.errors import LinkNotValid, ProviderFailed
from webapp.services.guards import mark_authorized

log = structlog.get_logger()


@dataclass(frozen=True)
class Asked:
    """Where the browser is sent, and the token that it has to remember meanwhile."""

    url: str
    token: str


def ask(session: Session, agreement: Agreement, *, again: bool) -> Asked:
    """A new request to the provider; *again*: it has to look at the person anew."""
    from webapp.gateways import saml_messages  # 6 MB that few installations need

    token = one_time_tokens.issue(session, "saml_request")
    # An XML id begins with no digit.
    return Asked(saml_messages.request_url(agreement, f"_{token}", again=again), token)


def take(session: Session, agreement: Agreement, posted: str, email_attribute: str | None) -> str:
    """Check an answer; a token for what it proves. Raises ProviderFailed."""
    from webapp.gateways import saml_messages

    mark_authorized()
    try:
        answer = saml_messages.read(agreement, posted, email_attribute)
        token = answer.request_id.removeprefix("_")
        one_time_tokens.use(session, "saml_request", token)
    except (AnswerRefused, LinkNotValid) as error:
        log.warning("saml_answer_refused", reason=str(error))
        raise ProviderFailed("The answer cannot be used.") from error
    details = {"request": digest(token).hex(), "subject": answer.subject, "email": answer.email}
    return one_time_tokens.issue(session, "saml_answer", details=details)


def told(session: Session, answer_token: str, asked_token: str) -> tuple[str, str | None]:
    """Subject and address of an answer to what this browser asked, once. Raises ProviderFailed."""
    mark_authorized()
    try:
        details = one_time_tokens.use(session, "saml_answer", answer_token).details
    except LinkNotValid as error:
        raise ProviderFailed("There is no such answer.") from error
    if details["request"] != digest(asked_token).hex():
        raise ProviderFailed("Another browser asked.")
    return details["subject"], details["email"]
