"""The stack's own certificate authority and the server certificate that PgBouncer shows its clients."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webapp.embedded import layout
from webapp.embedded.environment import Stack

CA_DAYS = 3650
SERVER_DAYS = 397
RENEW_BEFORE_DAYS = 60


def ensure(stack: Stack) -> bool:
    """Make the CA once; make the server certificate when it is missing, near its end, or for other names."""
    root = "root" if stack.as_root else stack.agent_user
    tls = stack.home / "tls"
    new_ca = ensure_authority(stack, tls, root)
    if not new_ca and is_current(tls, names(stack)):
        return False
    ca_key = load_key(tls / "ca.key")
    ca = x509.load_pem_x509_certificate((tls / "ca.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    layout.write_file(stack, tls / "server.key", key_bytes(key), stack.agent_user, 0o600)
    layout.write_file(stack, tls / "server.crt", server_certificate(ca, ca_key, key, names(stack)), root, 0o644)
    return True


def ensure_authority(stack: Stack, tls: Path, root: str) -> bool:
    if (tls / "ca.crt").exists() and (tls / "ca.key").exists():
        return False
    key, signed = authority(stack.home.name)
    layout.write_file(stack, tls / "ca.key", key, root, 0o600)
    layout.write_file(stack, tls / "ca.crt", signed, root, 0o644)
    return True


def authority(name: str) -> tuple[bytes, bytes]:
    """A new authority's key and its certificate of itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"DBHost local CA {name}"[:64])])
    builder = certificate(subject, subject, key.public_key(), CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(key_usage(sign_certificates=True), critical=True)
    return key_bytes(key), pem(builder.sign(key, hashes.SHA256()))


def names(stack: Stack) -> list[str]:
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", stack.public_host]))


def is_current(tls: Path, wanted: list[str], stem: str = "server") -> bool:
    """Whether the certificate is for these names, far from its end, and of the key beside it (a kill can part them)."""
    if not (tls / f"{stem}.crt").exists() or not (tls / f"{stem}.key").exists():
        return False
    found = x509.load_pem_x509_certificate((tls / f"{stem}.crt").read_bytes())
    if found.public_key() != load_key(tls / f"{stem}.key").public_key():
        return False
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return list(alternative) == [general_name(name) for name in wanted] and left.days > RENEW_BEFORE_DAYS


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def server_certificate(
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey, hosts: list[str]
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[-1][:64])])
    builder = certificate(subject, ca.subject, key.public_key(), SERVER_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName([general_name(host) for host in hosts]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(key_usage(sign_certificates=False), critical=True)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return pem(builder.add_extension(issuer, critical=False).sign(ca_key, hashes.SHA256()))


def certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic-curve key")
    return key


def key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem(signed: x509.Certificate) -> bytes:
    return signed.public_bytes(serialization.Encoding.PEM)
