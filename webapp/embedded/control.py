"""What the stack asks of the web app: migrations, the first admin, and whether it is ready."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import psycopg

from webapp.embedded import supervisor, users
from webapp.embedded.environment import CHECKOUT, Stack, StackError, base_environment, command_line_environment

READY_TIMEOUT_S = 60


def run(stack: Stack, environ: Mapping[str, str], *arguments: str) -> str:
    """Run one command of webapp.cli against this stack's control database; its output."""
    asked = {name: environ[name] for name in ("DBHOST_ADMIN_EMAIL", "DBHOST_ADMIN_PASSWORD") if environ.get(name)}
    variables = {**base_environment(stack.home), **command_line_environment(stack, environ), **asked}
    command = [sys.executable, "-m", "webapp.cli", *arguments]
    ended = users.run_as("root" if stack.as_root else stack.web_user, command, variables, cwd=CHECKOUT)
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip().splitlines()[-15:]
        raise StackError(f"`{' '.join(arguments)}` failed:\n" + "\n".join(said))
    return ended.stdout


def database_answers(stack: Stack) -> bool:
    """Whether the control database is there already, as it is on every start but the first."""
    try:
        with psycopg.connect(database_url(stack), connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def database_url(stack: Stack) -> str:
    return stack.secret("worker_database_url").read_text().strip()


def migrate(stack: Stack) -> None:
    """Bring the schema up to date, in this process: another Python would cost a second."""
    from webapp import database_admin  # Alembic, which no other command needs

    try:
        database_admin.upgrade(database_url(stack))
    except psycopg.OperationalError as error:
        raise StackError(f"The control database cannot be reached: {' '.join(str(error).split())}") from None


def ensure_admin(stack: Stack, environ: Mapping[str, str]) -> dict[str, Any]:
    """The first admin: {"email", "created", "password"}; the password only when it was made now."""
    answer = json.loads(run(stack, environ, "user", "ensure-admin").strip().splitlines()[-1])
    return dict(answer)


def is_ready(stack: Stack) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", stack.web_port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until_ready(stack: Stack, timeout_s: float = READY_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_ready(stack):
        if time.monotonic() > deadline:
            ends = "\n".join(
                f"--- {name}.log\n{supervisor.tail(stack.home / 'logs' / f'{name}.log')}" for name in ("web", "worker")
            )
            raise StackError(f"The stack did not get ready within {timeout_s:.0f} s.\n{ends}")
        time.sleep(0.1)
