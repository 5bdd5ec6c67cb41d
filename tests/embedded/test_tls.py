"""The local authority and the certificate it gives PgBouncer."""

import ssl
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from webapp.embedded import tls
from webapp.embedded.environment import Stack


def certificate(stack: Stack) -> x509.Certificate:
    return x509.load_pem_x509_certificate((stack.home / "tls" / "server.crt").read_bytes())


def test_it_is_made_once_and_openssl_takes_it(stack: Stack) -> None:
    assert tls.ensure(stack)
    first = certificate(stack)
    assert not tls.ensure(stack)
    assert certificate(stack) == first
    folder = stack.home / "tls"
    first.verify_directly_issued_by(x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


def test_another_public_name_gets_another_certificate_of_the_same_authority(stack: Stack) -> None:
    tls.ensure(stack)
    authority = stack.ca_file.read_bytes()
    assert tls.ensure(replace(stack, public_host="db.example.org"))
    names = certificate(stack).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "db.example.org"]
    assert stack.ca_file.read_bytes() == authority


def test_a_key_without_its_certificate_is_mended(stack: Stack) -> None:
    tls.ensure(stack)
    (stack.home / "tls" / "server.key").write_bytes(tls.key_bytes(ec.generate_private_key(ec.SECP256R1())))
    assert tls.ensure(stack)
    assert not tls.ensure(stack)


def test_a_certificate_near_its_end_is_renewed(stack: Stack) -> None:
    tls.ensure(stack)
    folder = stack.home / "tls"
    key, ca_key = tls.load_key(folder / "server.key"), tls.load_key(folder / "ca.key")
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    short = tls.certificate(authority.subject, authority.subject, key.public_key(), tls.RENEW_BEFORE_DAYS)
    names = x509.SubjectAlternativeName([tls.general_name(name) for name in tls.names(stack)])
    signed = short.add_extension(names, critical=False).sign(ca_key, tls.hashes.SHA256())
    (folder / "server.crt").write_bytes(tls.pem(signed))
    assert tls.ensure(stack)
