"""An identity provider that speaks SAML: its own key, its own XML, signed by a library that the app does not use."""

import base64
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
from signxml.signer import XMLSigner

ISSUER = "https://idp.example.com/metadata"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
RESPONSE = """
<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"
  ID="{id}-response" Version="2.0" IssueInstant="{now}" Destination="{recipient}" InResponseTo="{request_id}">
<saml:Issuer>{issuer}</saml:Issuer>
<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
{assertion}
</samlp:Response>
"""
ASSERTION = """
<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{now}">
<saml:Issuer>{issuer}</saml:Issuer>
<saml:Subject>
<saml:NameID Format="{format}">{subject}</saml:NameID>
<saml:SubjectConfirmation Method="{method}">
<saml:SubjectConfirmationData Recipient="{recipient}" NotOnOrAfter="{presented_until}" {in_response_to}/>
</saml:SubjectConfirmation>
</saml:Subject>
<saml:Conditions NotBefore="{valid_from}" NotOnOrAfter="{valid_until}">
<saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>
</saml:Conditions>
<saml:AuthnStatement AuthnInstant="{now}"><saml:AuthnContext>
<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>
</saml:AuthnContext></saml:AuthnStatement>
<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>{email}</saml:AttributeValue>
</saml:Attribute></saml:AttributeStatement>
</saml:Assertion>
"""


def stamp(minutes: float = 0) -> str:
    """A time as SAML writes it, some minutes from now."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Saying:
    """What an assertion says; a test changes what it wants to have refused."""

    request_id: str
    recipient: str
    audience: str
    subject: str = "s1"
    email: str = "alice@example.com"
    issuer: str = ISSUER
    format: str = PERSISTENT
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    id: str = field(default_factory=lambda: f"_{datetime.now(UTC).timestamp():.6f}".replace(".", "-"))
    now: str = field(default_factory=stamp)
    valid_from: str = field(default_factory=lambda: stamp(-1))
    valid_until: str = field(default_factory=lambda: stamp(5))
    presented_until: str = field(default_factory=lambda: stamp(5))

    def but(self, **changes: str) -> "Saying":
        return replace(self, **changes)

    def assertion(self) -> str:
        in_response_to = f'InResponseTo="{self.request_id}"' if self.request_id else ""
        words = {**vars(self), "email": escape(self.email), "in_response_to": in_response_to}
        return ASSERTION.format(**words)

    def response(self, assertion: str) -> str:
        return RESPONSE.format(**vars(self), assertion=assertion)


class SamlProvider:
    """The provider at ISSUER, with a key and the certificate that it was registered with."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = _certificate(self._key)

    def asked(self, address: str) -> etree._Element:
        """The AuthnRequest in the address that a browser is led to."""
        query = parse_qs(urlsplit(address).query)
        return etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), -15))

    def hears(self, address: str, **changes: str) -> Saying:
        """What it answers, in all honesty, to the request in *address*; with *changes*."""
        request = self.asked(address)
        issuer = request.findtext("{urn:oasis:names:tc:SAML:2.0:assertion}Issuer")
        place = request.attrib["AssertionConsumerServiceURL"]
        return Saying(str(request.attrib["ID"]), str(place), str(issuer)).but(**changes)

    def signs_assertion(self, saying: Saying) -> str:
        return saying.response(self.signed(saying.assertion(), saying.id))

    def signs_response(self, saying: Saying) -> str:
        return self.signed(saying.response(saying.assertion()), f"{saying.id}-response")

    def signed(self, xml: str, reference: str) -> str:
        """*xml* with an enveloped signature of the element of that ID: RSA, SHA-256, exclusive canonical form."""
        signer = XMLSigner(
            method=SignatureConstructionMethod.enveloped,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        root = etree.fromstring(xml.strip())
        signed = signer.sign(root, key=self._key, cert=[_pem(self.certificate)], reference_uri=reference)
        return etree.tostring(signed).decode()


def encoded(xml: str) -> str:
    """As a browser posts it."""
    return base64.b64encode(xml.encode()).decode()


def pem(provider: SamlProvider) -> str:
    return _pem(provider.certificate)


@lru_cache(maxsize=2)
def saml_provider(name: str = "idp") -> SamlProvider:
    """One for all tests: making its RSA key takes longer than a test."""
    return SamlProvider()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example.com")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
    )
    return builder.sign(key, hashes.SHA256())
