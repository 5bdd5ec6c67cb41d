"""`dbhost converge`: make a host's databases match the desired state by hand, or say with --check what drifted."""

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

from webapp import inventory_files
from webapp.cli.session import control_session
from webapp.config import settings
from webapp.embedded import playbooks, users
from webapp.embedded.environment import CHECKOUT, Stack, load
from webapp.models import Database, Host
from webapp.services import ansible_data, audit
from webapp.services.actors import operator
from webapp.services.hosts import EMBEDDED, live, reached_by_ssh
from webapp.worker import desired
from webapp.worker import environment as worker_environment


def wanted(session: Session, host: str) -> list[dict[str, Any]]:
    """The desired state of every live database on *host*. Raises ClickException for an unknown host."""
    if session.scalar(select(Host.id).where(Host.name == host, live())) is None:
        known = ", ".join(session.scalars(select(Host.name).where(live()).order_by(Host.name)))
        raise click.ClickException(f"There is no host {host}. Known: {known or 'none'}.")
    query = (
        select(Database)
        .join(Host)
        .where(Host.name == host, live(), Database.deleted_at.is_(None))
        .order_by(Database.name)
    )
    query = query.options(selectinload(Database.allowlist), selectinload(Database.members))
    return [desired.tenant_database(database) for database in session.scalars(query).unique()]


def by_ssh(session: Session, host: str) -> list[Host]:
    """The host, when it is one that the control database says how to reach."""
    return [row for row in reached_by_ssh(session) if row.name == host]


@contextmanager
def variables_file(stack: Stack, databases: list[dict[str, Any]]) -> Iterator[Path]:
    """A file that the agent's OS user alone can read, gone at the end: verifiers never stand on a command line."""
    runs = stack.home / "runs"
    runs.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="converge-", dir=runs) as folder:
        path = Path(folder) / "tenants.json"
        path.touch(mode=0o600)
        path.write_text(ansible_data.as_document({"tenant_databases": databases}), encoding="utf-8")
        uid, gid = users.owner(stack, stack.agent_user)
        for each in (Path(folder), path):
            os.chown(each, uid, gid)
        yield path


def converge(stack: Stack, host: str, by_ssh: list[Host], databases: list[dict[str, Any]], *, check: bool) -> int:
    """Run databases.yml over *databases* as the agent's OS user, showing its output; returns its exit code."""
    with variables_file(stack, databases) as path:
        inventory = worker_environment.inventory(settings().inventory)
        if by_ssh:
            inventory = inventory_files.for_agent(path.parent, by_ssh, settings().worker_key)
        base = playbooks.command("databases", inventory, [host])
        command = [*base, "--extra-vars", f"@{path}", *(["--check", "--diff"] if check else [])]
        return subprocess.run(
            command,
            cwd=CHECKOUT,
            env=environment(stack, host, path.parent),
            check=False,
            stdin=subprocess.DEVNULL,
            **users.switch(stack.agent_user),
        ).returncode


def environment(stack: Stack, host: str, scratch: Path) -> dict[str, str]:
    """What the run knows: of the embedded host where things are, of others nothing, and not the person's own ssh."""
    if host == EMBEDDED:
        known = dict(playbooks.environment(stack, stack.agent_user))
    else:
        known = worker_environment.of_playbooks(os.environ) | {
            "HOME": str(scratch),
            "ANSIBLE_HOME": f"{scratch}/ansible",
        }
        known.pop("SSH_AUTH_SOCK", None)
    return known | {"DBHOST_OPERATOR": operator().operator or ""}


@click.command("converge")
@click.option("--host", default="local", show_default=True, help="The host's name in the inventory.")
@click.option("--check", is_flag=True, help="Change nothing and show what would change.")
def converge_command(host: str, check: bool) -> None:
    """Make every database on a host match the desired state and print Ansible's recap."""
    with control_session() as session:
        databases, rows = wanted(session, host), by_ssh(session, host)
        if not check:
            audit.record(session, operator(), "host.converge", host, details={"databases": len(databases)})
            session.commit()
    code = converge(load(os.environ), host, rows, databases, check=check)
    if not check:
        with control_session() as session:
            audit.record(session, operator(), "host.converged", host, details={"exit_code": code})
            session.commit()
    raise click.exceptions.Exit(code)
