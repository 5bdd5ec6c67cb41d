"""The secrets of a stack: made once, kept in files that only their reader can open."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping

import psycopg

from webapp.embedded import layout
from webapp.embedded.environment import CONTROL_DATABASE, Stack, control_url


def ensure(stack: Stack, environ: Mapping[str, str]) -> None:
    """Make what is missing; a value given in the environment wins over the stored one."""
    keep(stack, "secret_key", environ.get("DBHOST_SECRET_KEY"), lambda: secrets.token_urlsafe(48), stack.web_user)
    keys = "\n".join(environ.get("DBHOST_ENCRYPTION_KEYS", "").replace(",", "\n").split())
    keep(stack, "encryption_keys", keys or None, encryption_key, stack.web_user)
    password = keep(stack, "control_password", None, lambda: secrets.token_urlsafe(32), root(stack))
    keep(stack, "control_verifier", stored_verifier(stack, password), lambda: "", stack.agent_user)
    for name, user, pooled in (
        ("web_database_url", stack.web_user, True),
        ("worker_database_url", stack.agent_user, False),
    ):
        url = stack.external_database_url or control_url(stack, password, through_pgbouncer=pooled)
        keep(stack, name, url, lambda: "", user)


def root(stack: Stack) -> str:
    return "root" if stack.as_root else stack.agent_user


def keep(stack: Stack, name: str, given: str | None, make: Callable[[], str], reader: str) -> str:
    """The secret's value: the given one, else the stored one, else a new one."""
    path = stack.secret(name)
    stored = path.read_text().strip() if path.exists() else ""
    value = given or stored or make()
    layout.write_file(stack, path, value + "\n", root(stack), 0o640 if stack.as_root else 0o600, group=reader)
    return value


def encryption_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def stored_verifier(stack: Stack, password: str) -> str:
    """The verifier of the control password: always the same one, or each `up` would change the role."""
    path = stack.secret("control_verifier")
    stored = path.read_text().strip() if path.exists() else ""
    return stored or scram_verifier(password)


def scram_verifier(password: str) -> str:
    """libpq's own SCRAM-SHA-256 verifier. libpq wants a connection object for it, but never speaks to a server."""
    connection = psycopg.pq.PGconn.connect_start(b"host=/nonexistent")
    try:
        return connection.encrypt_password(password.encode(), CONTROL_DATABASE.encode(), b"scram-sha-256").decode()
    finally:
        connection.finish()
