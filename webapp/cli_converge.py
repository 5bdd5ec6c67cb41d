"""`dbhost converge`: make a host's databases match the desired state by hand, or say with --check what drifted."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from webapp.embedded import hosts, playbooks, users
from webapp.embedded.environment import CHECKOUT, Stack
from webapp.models import Database, Host
from webapp.worker import desired


def wanted(session: Session, host: str) -> list[dict[str, Any]]:
    """The desired state of every live database on *host*. Raises ClickException for an unknown host."""
    if session.scalar(select(Host.id).where(Host.name == host)) is None:
        known = ", ".join(session.scalars(select(Host.name).order_by(Host.name)))
        raise click.ClickException(f"There is no host {host}. Known: {known or 'none'}.")
    query = select(Database).join(Host).where(Host.name == host, Database.deleted_at.is_(None)).order_by(Database.name)
    query = query.options(selectinload(Database.allowlist))
    return [desired.tenant_database(database) for database in session.scalars(query).unique()]


@contextmanager
def variables_file(stack: Stack, databases: list[dict[str, Any]]) -> Iterator[Path]:
    """A file that the agent's OS user alone can read, gone at the end: verifiers never stand on a command line."""
    with tempfile.TemporaryDirectory(prefix="converge-", dir=stack.home / "runs") as folder:
        path = Path(folder) / "tenants.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"tenant_databases": databases}), encoding="utf-8")
        uid, gid = users.owner(stack, stack.agent_user)
        for each in (Path(folder), path):
            os.chown(each, uid, gid)
        yield path


def converge(stack: Stack, host: str, databases: list[dict[str, Any]], *, check: bool) -> int:
    """Run databases.yml over *databases* as the agent's OS user, showing its output; returns its exit code."""
    with variables_file(stack, databases) as path:
        base = playbooks.command("databases", hosts.inventory(stack), [host])
        command = [*base, "--extra-vars", f"@{path}", *(["--check", "--diff"] if check else [])]
        environment = playbooks.environment(stack, stack.agent_user)
        return subprocess.run(
            command,
            cwd=CHECKOUT,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
            **users.switch(stack.agent_user),
        ).returncode
