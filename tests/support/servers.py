"""What starting a server for a test takes: its program, a free port, a certificate, and patience."""

import datetime
import ipaddress
import itertools
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from webapp.embedded.environment import postgres_bin

CHECKOUT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")
ROOM_BYTES = 2**30
# Below those that outgoing connections get: one of these could take a port before its server does.
PORTS = range(20_000, 32_000)
TIMEOUT_S = 60  # for starting or ending, on a busy machine


def pgbouncer_executable() -> str:
    """PgBouncer's program: the one the environment names, the embedded stack's, or the system's."""
    candidates = (os.environ.get("DBHOST_PGBOUNCER_BIN"), CHECKOUT / ".dbhost/bin/pgbouncer", shutil.which("pgbouncer"))
    found = next((str(path) for path in candidates if path and Path(path).exists()), None)
    assert found, "These tests need PgBouncer: set DBHOST_PGBOUNCER_BIN, or run ./dbhost up once."
    return found


def postgres_tool(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    return str(postgres_bin() / name)


def fast_folder() -> Path | None:
    """Where files are kept in memory, when there is room for a cluster's; None: the usual temporary folder."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if roomy else None


def free_ports(count: int) -> list[int]:
    """Ports free on loopback, and no other test's for as long as this process lives."""
    first = os.getpid() * 97 % len(PORTS)  # processes that start together need not ask for the same ones
    ports = itertools.chain(PORTS[first:], PORTS[:first])
    return list(itertools.islice((port for port in ports if is_free(port) and is_mine(port)), count))


def is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_mine(port: int) -> bool:
    """Whether no process of a test has taken *port* before; a name that the kernel forgets with its process says so."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0dbhost-test-port-{port}")
    except OSError:
        name.close()
        return False
    name.detach()
    return True


def wait_for(attempt: Callable[[], None], error: type[Exception]) -> None:
    """Try until *attempt* no longer raises *error*, a minute at most."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return attempt()
        except error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def make_certificate(certificate: Path, key_file: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - datetime.timedelta(1), now + datetime.timedelta(1)
    )
    made = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*encoding))
    key_file.chmod(0o600)
