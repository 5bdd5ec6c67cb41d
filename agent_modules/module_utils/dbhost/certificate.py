# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The certificate that PgBouncer shows its clients now, and the one on disk, which it reads when it starts next."""

from __future__ import annotations

import socket
import ssl
import struct
from datetime import UTC, datetime
from pathlib import Path

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which `ssl` has no name for
_TIMEOUT_S = 5.0


def lifetime(host: str, port: int) -> tuple[datetime, datetime]:
    """Beginning and end of the served certificate. Raises OSError (ssl.SSLError is one) if there is none to be had.

    Python reads a certificate's fields only once it is trusted: the first handshake fetches it, the second trusts it.
    """
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with _handshake(host, port, unverified) as connection:
        served = connection.getpeercert(binary_form=True) or b""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    trusting.load_verify_locations(cadata=served)
    with _handshake(host, port, trusting) as connection:
        fields = connection.getpeercert() or {}
    begins, ends = (ssl.cert_time_to_seconds(str(fields[name])) for name in ("notBefore", "notAfter"))
    return datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)


def fault_on_disk(certificate: str, key: str) -> str | None:
    """What keeps PgBouncer from starting with these files. What may not be looked at here is taken for good."""
    try:
        Path(key).stat()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except PermissionError:
        return None
    except (OSError, ssl.SSLError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        return f"The certificate or its key {reason} on disk; PgBouncer shows the old one until it is started again."
    return None


def _handshake(host: str, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    try:
        _ask_for_tls(connection)
        return context.wrap_socket(connection)
    except BaseException:
        connection.close()
        raise


def _ask_for_tls(connection: socket.socket) -> None:
    connection.sendall(_SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise ConnectionError("the server offers no TLS")
