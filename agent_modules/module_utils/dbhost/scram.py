# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""SCRAM-SHA-256 verifiers: their form, tombstones, and the probe that asks a server which one it has loaded."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
from dataclasses import dataclass

from .errors import TenantError

_FORM = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{3,6}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL_3 = 196608
_SASL_CONTINUE = 11
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Salt:
    """The public part of a verifier, which a server tells anybody who starts to log in."""

    iterations: int
    salt: str


@dataclass(frozen=True)
class Endpoint:
    """Where to log in: a TCP address, or a unix socket's path as *host* with no *port*."""

    host: str
    port: int | None = None
    tls: bool = False


class Refused(Exception):
    """The server ended the login before SCRAM began; *sqlstate* says why."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def parse(verifier: str) -> Salt:
    """The public part of *verifier*; raises TenantError if PostgreSQL would take it for a plain password."""
    match = _FORM.fullmatch(verifier)
    if not match or [_decoded_length(part) for part in match.groups()[2:]] != [32, 32]:
        raise TenantError("invalid_verifier", "The verifier is not a SCRAM-SHA-256 secret.")
    if _decoded_length(match[2]) < 8:
        raise TenantError("invalid_verifier", "The verifier's salt is too short.")
    return Salt(int(match[1]), match[2])


def build(password: bytes, salt: bytes, iterations: int = 4096) -> str:
    """The verifier of *password* (RFC 5803), which must be ASCII: no SASLprep is done."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_encode(salt)}${_encode(stored)}:{_encode(server)}"


def tombstone() -> str:
    """A verifier that nobody can log in with: its password is random and forgotten at once."""
    return build(base64.b64encode(os.urandom(32)), os.urandom(16))


def probe(endpoint: Endpoint, user: str, database: str) -> Salt:
    """The salt that the server offers *user*, without any password.

    Raises Refused if it does not get as far as SCRAM, OSError if nobody answers. PostgreSQL answers
    for unknown users with a made-up salt, so a match proves and a mismatch disproves.
    """
    with _connect(endpoint) as connection:
        connection.sendall(_startup(user, database))
        _expect_sasl(connection)
        connection.sendall(_client_first())
        return _server_first(_authentication(connection, _SASL_CONTINUE))


def _connect(endpoint: Endpoint) -> socket.socket:
    if endpoint.port is None:
        return _connect_unix(endpoint.host)
    connection = socket.create_connection((endpoint.host, endpoint.port), timeout=_TIMEOUT_S)
    return _upgrade(connection) if endpoint.tls else connection


def _connect_unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _upgrade(connection: socket.socket) -> socket.socket:
    connection.sendall(_SSL_REQUEST)
    if connection.recv(1) != b"S":
        connection.close()
        raise ConnectionError("the server offers no TLS")
    # The probe sends no secret and talks to this host's own process, so it has nothing to verify.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


def _startup(user: str, database: str) -> bytes:
    fields = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
    return struct.pack("!ii", len(fields) + 8, _PROTOCOL_3) + fields


def _client_first() -> bytes:
    nonce = _encode(os.urandom(18)).encode()
    message = b"n,,n=,r=" + nonce
    body = b"SCRAM-SHA-256\0" + struct.pack("!i", len(message)) + message
    return b"p" + struct.pack("!i", len(body) + 4) + body


def _expect_sasl(connection: socket.socket) -> None:
    mechanisms = _authentication(connection, 10).split(b"\0")
    if b"SCRAM-SHA-256" not in mechanisms:
        raise Refused("28000")


def _authentication(connection: socket.socket, expected: int) -> bytes:
    kind, payload = _message(connection)
    if kind == b"E":
        raise Refused(_sqlstate(payload))
    if kind != b"R" or struct.unpack("!i", payload[:4])[0] != expected:
        raise Refused("28000")
    return payload[4:]


def _message(connection: socket.socket) -> tuple[bytes, bytes]:
    header = _receive(connection, 5)
    return header[:1], _receive(connection, min(struct.unpack("!i", header[1:])[0] - 4, 65536))


def _receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return data


def _sqlstate(payload: bytes) -> str:
    fields = {part[:1]: part[1:].decode("ascii", "replace") for part in payload.split(b"\0") if part}
    return fields.get(b"C", "08P01")


def _server_first(payload: bytes) -> Salt:
    fields = dict(part.split("=", 1) for part in payload.decode("ascii").split(","))
    return Salt(int(fields["i"]), fields["s"])


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded_length(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except binascii.Error:
        return 0
