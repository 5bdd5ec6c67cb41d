"""The control plane's secrets on its own host: made there once, one file each for the one process that needs it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from webapp.embedded.environment import CONTROL_DATABASE
from webapp.embedded.keys import encryption_key, scram_verifier

ROOT_ALONE, GROUP_READS = 0o600, 0o640


@dataclass(frozen=True)
class Place:
    """Where the control database is: PostgreSQL on loopback, PgBouncer with a certificate for *public_host*."""

    public_host: str
    pgbouncer_port: int
    postgres_port: int
    ca_file: str


@dataclass(frozen=True)
class Readers:
    """Groups of the two processes."""

    web: str
    worker: str


def ensure_secrets(folder: Path, place: Place, readers: Readers) -> list[str]:
    """Have every secret in *folder*, which is root's. The names of the files that were written.

    What is there is kept: with the keys the tenants' passwords would be lost, and a new verifier would change the role.
    """
    written = []
    for name, make, reader in (
        ("secret_key", random_secret, readers.web),
        ("encryption_keys", encryption_key, readers.web),
        ("control_password", random_secret, None),
    ):
        if not (folder / name).exists():
            written += keep(folder / name, make(), reader)
    password = (folder / "control_password").read_text().strip()
    if not (folder / "control_verifier").exists():
        written += keep(folder / "control_verifier", scram_verifier(password), None)
    for name, url, reader in (
        ("web_database_url", pooled_url(place, password), readers.web),
        ("worker_database_url", direct_url(place, password), readers.worker),
    ):
        written += keep(folder / name, url, reader)
    return written


def random_secret() -> str:
    return secrets.token_urlsafe(48)


def pooled_url(place: Place, password: str) -> str:
    """Through PgBouncer on this host, by the name in its certificate."""
    where = f"{place.public_host}:{place.pgbouncer_port}/{CONTROL_DATABASE}"
    tls = f"sslmode=verify-full&sslrootcert={quote(place.ca_file)}"
    return f"postgresql://{CONTROL_DATABASE}:{quote(password)}@{where}?hostaddr=127.0.0.1&{tls}"


def direct_url(place: Place, password: str) -> str:
    """Straight to PostgreSQL, which LISTEN needs."""
    return f"postgresql://{CONTROL_DATABASE}:{quote(password)}@127.0.0.1:{place.postgres_port}/{CONTROL_DATABASE}?sslmode=disable"


def keep(path: Path, value: str, reader: str | None) -> list[str]:
    """Have *value* in *path*, readable by root and the group *reader*; its name when anything had to be done."""
    mode, group = (GROUP_READS, reader) if reader else (ROOT_ALONE, "root")
    if path.exists() and is_kept(path, value, group, mode):
        return []
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    if os.geteuid() == 0:
        shutil.chown(name, 0, group)
    Path(name).replace(path)
    return [path.name]


def is_kept(path: Path, value: str, group: str, mode: int) -> bool:
    """Whether *path* is as it should be; an ordinary user has no say about groups."""
    mine = os.geteuid() != 0 or path.group() == group
    return mine and path.stat().st_mode & 0o777 == mode and path.read_text().strip() == value
