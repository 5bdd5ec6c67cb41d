"""One POST to a place that a user named: to a resolved, checked address, without redirects, in a bounded time."""

import http.client
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from webapp.gateways import addresses
from webapp.gateways.addresses import AddressRefused

TIMEOUT_S = 10.0
READ_BYTES = 4096
KEPT_CHARACTERS = 500
# What a receiver may repeat of our message, or tell of itself, and nobody needs to read in a log.
SECRETS = (
    re.compile(r"whsec_[\w+/=-]+"),
    re.compile(r"v1,[\w+/=]{20,}"),
    re.compile(r"dbh_[\w-]{8,}"),
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]+"),
    re.compile(r"(?<=://)[^\s/@]+(?=@)"),
    re.compile(r"(?i)(?<=password)([\"']?\s*[:=]\s*)\S+"),
)


@dataclass(frozen=True)
class Answer:
    """How one try ended: a status, or why there is none; and the beginning of what was answered."""

    status_code: int | None
    error: str | None
    took_ms: int
    body: str = ""

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool = False, own: tuple[str, ...] = (),
    timeout_s: float = TIMEOUT_S,
) -> Answer:  # fmt: skip
    """Send *body* once. Whatever goes wrong is in the answer; nothing is raised for it."""
    started = time.monotonic()

    def ended(status: int | None, error: str | None, text: str = "") -> Answer:
        return Answer(status, error, round((time.monotonic() - started) * 1000), text)

    try:
        parts = addresses.check(url, allow_private=allow_private)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = addresses.resolve(parts.hostname or "", port, allow_private=allow_private, own=own)
        status, text = _send(parts, port, found, body, headers, timeout_s)
    except AddressRefused as error:
        return ended(None, str(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return ended(None, _sentence(error))
    return ended(status, None if 200 <= status < 300 else f"Answered {status}.", text)


def host_of(url: str) -> str | None:
    """The host that an address names."""
    return urlsplit(url).hostname


def readable(body: bytes) -> str:
    """The beginning of an answer as text, without what looks like a secret."""
    text = body.decode("utf-8", "replace")
    for pattern in SECRETS:
        text = pattern.sub("…", text)
    shown = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    return shown[:KEPT_CHARACTERS].strip()


def _send(
    parts: SplitResult, port: int, found: list[str], body: bytes, headers: Mapping[str, str], timeout_s: float
) -> tuple[int, str]:
    """The status and the text of the answer. A guard cuts the connection when time is over, however it is spent."""
    deadline = time.monotonic() + timeout_s
    connection = http.client.HTTPConnection(parts.hostname or "", port)
    connection.sock = plain = _connect(found, port, deadline)
    # Another descriptor of the same connection: TLS takes the first one over.
    cut = socket.socket(fileno=os.dup(plain.fileno()))
    guard = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [cut])
    guard.daemon = True
    guard.start()
    try:
        if parts.scheme == "https":
            connection.default_port = 443  # so that the Host header names the port only where it is another
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        answer = response.status, readable(response.read(READ_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        if time.monotonic() >= deadline:
            raise TimeoutError from None
        raise
    else:
        if time.monotonic() >= deadline:  # a connection that was cut looks like the end of an answer
            raise TimeoutError
        return answer
    finally:
        guard.cancel()
        guard.join()
        for one in (connection, plain, cut):
            one.close()


def _connect(found: list[str], port: int, deadline: float) -> socket.socket:
    """A connection to the first of these addresses that takes one."""
    failure: OSError = ConnectionRefusedError()
    for address in found:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        # Not create_connection, which asks the resolver once more.
        plain = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        plain.settimeout(left)
        try:
            plain.connect((address, port))
        except OSError as error:
            plain.close()
            failure = error
        else:
            return plain
    raise failure


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _sentence(error: Exception) -> str:
    """What went wrong, in our words: an error's own text may name what the owner must not learn."""
    if isinstance(error, TimeoutError):
        return "No whole answer in time."
    if isinstance(error, socket.gaierror):
        return "The name of the host is not known."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate was not accepted: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return "TLS failed."
    if isinstance(error, http.client.HTTPException | ValueError):
        return "The answer was no HTTP."
    return "The connection was refused." if isinstance(error, ConnectionRefusedError) else "The connection was lost."
