"""The certificates that the hosts' PgBouncers show, from the authority of the stack beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from webapp.embedded import tls
from webapp.fleet.access import FleetHost


def ensure(authority: Path, folder: Path, hosts: Iterable[FleetHost]) -> None:
    """Have <name>.crt and <name>.key in *folder* for each host; the authority in its folder is made where missing."""
    authority.mkdir(parents=True, exist_ok=True)
    if not ((authority / "ca.crt").exists() and (authority / "ca.key").exists()):
        key, signed = tls.authority(authority.parent.name)
        _write(authority / "ca.key", key, 0o600)
        _write(authority / "ca.crt", signed, 0o644)
    for host in hosts:
        ensure_one(authority, folder, host.name, [host.name, host.address])


def ensure_one(authority: Path, folder: Path, name: str, names: list[str]) -> None:
    """Have <name>.crt and <name>.key in *folder*, signed for *names* by the authority and far from their end."""
    folder.mkdir(parents=True, exist_ok=True)
    if tls.is_current(folder, names, name):
        return
    signer = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = tls.server_certificate(signer, tls.load_key(authority / "ca.key"), key, names)
    _write(folder / f"{name}.key", tls.key_bytes(key), 0o600)
    _write(folder / f"{name}.crt", certificate, 0o644)


def _write(file: Path, content: bytes, mode: int) -> None:
    """Closed before anything is in it."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(descriptor, mode)
        out.write(content)
