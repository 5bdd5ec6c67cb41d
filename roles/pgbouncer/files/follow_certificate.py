#!/usr/bin/python3
"""Show PgBouncer's clients the certificate that another program on this host renews.

Run by systemd when that certificate changes, and each hour. A certificate that is missing, broken, for another name or
at its end is not taken: the old one is served, the unit fails, and `problem` in the target folder says why, from where
the host's report has it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

Fields = dict[str, object]
PROBLEM = "problem"
SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
# The renewing program writes certificate and key one after the other.
SETTLES_WITHIN_S = 10.0
SERVED_WITHIN_S = 10.0
# Renewals are due when a third of the lifetime is left.
OVERDUE_AT = 1 / 6


class Refused(Exception):
    """Why the certificate is not taken, or not served, as a sentence for an operator."""


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its key."""

    certificate: bytes
    key: bytes

    def leaf(self) -> bytes:
        """The first certificate in DER, which is what a client gets to see."""
        end = "-----END CERTIFICATE-----"
        return ssl.PEM_cert_to_DER_cert(self.certificate.decode().partition(end)[0].strip() + "\n" + end)


def read(certificate: Path, key: Path) -> Pair:
    try:
        return Pair(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise Refused(f"{error.filename} cannot be read ({error.strerror}).") from None


def require_good(pair: Pair, name: str) -> Fields:
    """Raise Refused unless clients that trust the certificate would take it for *name* now."""
    try:
        return greet(pair, name)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
        raise Refused(f"The certificate for {name} is not taken: {reason}.") from None


def require_renewed(fields: Fields, name: str, now: float) -> None:
    """Raise Refused when the certificate with *fields* should have been renewed long ago."""
    begins, ends = (ssl.cert_time_to_seconds(str(fields[field])) for field in ("notBefore", "notAfter"))
    if ends - now < (ends - begins) * OVERDUE_AT:
        raise Refused(f"The certificate for {name} ends at {fields['notAfter']}, and nothing has renewed it.")


def greet(pair: Pair, name: str) -> Fields:
    """Let a client and a server with *pair* greet each other in memory; the certificate as the client sees it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        for file, content in (("crt", pair.certificate), ("key", pair.key)):
            Path(folder, file).write_bytes(content)
        server.load_cert_chain(f"{folder}/crt", f"{folder}/key", password="")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=pair.leaf())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=name)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (asking, answering, asking, answering):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return dict(asking.getpeercert() or {})


def read_settled(certificate: Path, key: Path, name: str) -> tuple[Pair, Fields]:
    """A good pair and what its certificate says; one that is being written right now gets a moment."""
    deadline = time.monotonic() + SETTLES_WITHIN_S
    while True:
        try:
            pair = read(certificate, key)
            return pair, require_good(pair, name)
        except Refused:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def put(target: Path, content: bytes, owner: str, mode: int) -> None:
    """Replace *target* as a whole."""
    descriptor, new = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    shutil.chown(new, owner, "root")
    Path(new).replace(target)


def is_in_place(pair: Pair, certificate: Path, key: Path) -> bool:
    try:
        return pair == Pair(certificate.read_bytes(), key.read_bytes())
    except FileNotFoundError:
        return False


def served(port: int) -> bytes:
    """The certificate that PgBouncer shows now; empty when it does not answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                return b""
            with context.wrap_socket(plain) as encrypted:
                return encrypted.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


def show(pair: Pair, unit: str, port: int) -> None:
    """Have PgBouncer show *pair*, when it runs. Its sessions go on."""
    if subprocess.run(["/usr/bin/systemctl", "--quiet", "is-active", unit], check=False).returncode:
        return
    if served(port) == pair.leaf():
        return
    subprocess.run(["/usr/bin/systemctl", "reload", unit], check=False)
    deadline = time.monotonic() + SERVED_WITHIN_S
    while served(port) != pair.leaf():
        if time.monotonic() > deadline:
            raise Refused(f"{unit} was reloaded and still shows another certificate.")
        time.sleep(0.1)


def follow(given: argparse.Namespace) -> bool:
    """Take the certificate over; whether files changed. Raises Refused when it could not, or is nearly at its end."""
    pair, fields = read_settled(given.certificate, given.key, given.name)
    certificate, key = given.folder / "server.crt", given.folder / "server.key"
    changed = not is_in_place(pair, certificate, key)
    if changed:
        put(key, pair.key, given.owner, 0o400)
        put(certificate, pair.certificate, "root", 0o644)
    for unit, port in zip(given.unit, given.port, strict=True):
        show(pair, unit, port)
    require_renewed(fields, given.name, time.time())
    return changed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("certificate", "key", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("name", "owner"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--unit", action="append", required=True)
    parser.add_argument("--port", type=int, action="append", required=True)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    problem = given.folder / PROBLEM
    try:
        changed = follow(given)
    except Refused as refusal:
        put(problem, f"{refusal}\n".encode(), "root", 0o644)
        sys.stderr.write(f"<3>{refusal}\n")
        return 1
    problem.unlink(missing_ok=True)
    sys.stdout.write("The certificate was taken over.\n" if changed else "The certificate is in place.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
