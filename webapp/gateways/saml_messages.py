"""SAML 2.0 as a service provider: the request by redirect, the answer by POST, both by minisaml.

minisaml checks the signature (RSA with SHA-256, over the answer or its assertion), issuer, audience and times, and
reads nothing that is not signed, comments included. What it leaves open is checked here: to whom and until when the
assertion may be presented, and that it names a person for good.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml.etree import LxmlError
from minisaml.errors import MiniSAMLError
from minisaml.request import get_request_redirect_url
from minisaml.response import Response, TimeDriftLimits, validate_response
from minisignxml.errors import MiniSignXMLError
from minisignxml.verify import extract_verified_element_and_certificate

from webapp.gateways.saml import Agreement, Answer, AnswerRefused

NAMES = {"saml": "urn:oasis:names:tc:SAML:2.0:assertion"}
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
EMAIL_ADDRESS = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
EMAIL_ATTRIBUTES = (
    "email",
    "mail",
    "emailAddress",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
)
DRIFT = timedelta(seconds=60)
# What a hostile answer makes the libraries raise; the last three stand for XML of a shape that they did not expect.
UNREADABLE = (MiniSAMLError, MiniSignXMLError, LxmlError, ValueError, LookupError, TypeError)


def request_url(agreement: Agreement, request_id: str, *, again: bool) -> str:
    """Where to send the browser; *again* asks the provider to look at more than its own cookie."""
    return get_request_redirect_url(
        saml_endpoint=agreement.url,
        expected_audience=agreement.audience,
        acs_url=agreement.recipient,
        request_id=request_id,
        force_reauthentication=again,
    )


def read(agreement: Agreement, posted: str, email_attribute: str | None = None) -> Answer:
    """What a posted SAMLResponse proves. Raises AnswerRefused."""
    try:
        response = _validate(agreement, posted)
        assertion = _signed_assertion(agreement, posted)
    except UNREADABLE as error:
        raise AnswerRefused(type(error).__name__) from error
    subject = _check_subject(agreement, assertion)
    email = _email(response, subject, email_attribute)
    return Answer(response.in_response_to or "", response.name_id, email)


def _validate(agreement: Agreement, posted: str) -> Response:
    return validate_response(
        data=posted,
        certificate=agreement.certificates,
        expected_audience=agreement.audience,
        idp_issuer=agreement.issuer,
        allowed_time_drift=TimeDriftLimits(DRIFT, DRIFT),
    )


def _signed_assertion(agreement: Agreement, posted: str) -> Any:
    """The assertion as it was signed, for what minisaml does not tell of it."""
    xml = base64.b64decode(posted)
    element, _ = extract_verified_element_and_certificate(xml=xml, certificates=agreement.certificates)
    return element if element.tag.endswith("}Assertion") else element.find("saml:Assertion", NAMES)


def _check_subject(agreement: Agreement, assertion: Any) -> Any:
    """The NameID, once the assertion may be presented here and now. Raises AnswerRefused."""
    confirmation = assertion.find("saml:Subject/saml:SubjectConfirmation", NAMES)
    data = confirmation.find("saml:SubjectConfirmationData", NAMES)
    if confirmation.get("Method") != BEARER:
        raise AnswerRefused("not for the bearer")
    if data.get("Recipient") != agreement.recipient:
        raise AnswerRefused("for another recipient")
    if not _is_ahead(data.get("NotOnOrAfter", "")):
        raise AnswerRefused("presented too late")
    name = assertion.find("saml:Subject/saml:NameID", NAMES)
    if not name.text or name.get("Format") == TRANSIENT:
        raise AnswerRefused("no lasting name of the person")
    return name


def _is_ahead(moment: str) -> bool:
    """Whether a time in UTC has not come yet; one that cannot be read has."""
    try:
        return datetime.fromisoformat(moment) > datetime.now(UTC) - DRIFT
    except (ValueError, TypeError):
        return False


def _email(response: Response, name: Any, attribute: str | None) -> str | None:
    """The address: of the attribute that is set, else of one of the usual ones, else the name when it is one."""
    wanted = (attribute,) if attribute else EMAIL_ATTRIBUTES
    found = next((response.attrs[each] for each in wanted if response.attrs.get(each)), None)
    is_address = attribute is None and name.get("Format") == EMAIL_ADDRESS
    return (found or (response.name_id if is_address else None) or "").strip() or None
