"""Commands of an installation on servers: pack a release; and what the control plane's own playbook asks."""

import json
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from webapp import database_admin, production, schema_version
from webapp import release as releases
from webapp.config import settings
from webapp.db import make_engine, make_sessions
from webapp.models import Host
from webapp.services import hosts
from webapp.services.actors import SYSTEM

VERSION = "0.1.0"


@click.command("release")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("build"))
@click.option(
    "--wheels", is_flag=True, help="Include the Python packages, for a server that cannot reach a package index."
)
@click.option(
    "--machine", metavar="NAME", help="The server's architecture, as `uname -m` prints it. By default this machine's."
)
def release(folder: Path, wheels: bool, machine: str | None) -> None:
    """Pack this checkout for playbooks/control_plane.yml and print the file's path."""
    click.echo(releases.pack(folder, VERSION, wheels=wheels, machine=machine))


@click.group("control-plane", hidden=True)
def control_plane() -> None:
    """What playbooks/control_plane.yml asks. Each prints one JSON object that says whether something was changed."""


@control_plane.command("secrets")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--public-host", required=True)
@click.option("--pgbouncer-port", type=int, required=True)
@click.option("--postgres-port", type=int, required=True)
@click.option("--ca-file", required=True)
@click.option("--web-group", required=True)
@click.option("--worker-group", required=True)
def secrets_command(
    folder: Path,
    public_host: str,
    pgbouncer_port: int,
    postgres_port: int,
    ca_file: str,
    web_group: str,
    worker_group: str,
) -> None:
    """Make the secrets that are missing."""
    place = production.Place(public_host, pgbouncer_port, postgres_port, ca_file)
    tell(production.ensure_secrets(folder, place, production.Readers(web_group, worker_group)))


@control_plane.command("prepare")
@click.argument("listed")
@click.option("--check", is_flag=True, help="Say what would be done, and do nothing.")
def prepare(listed: str, check: bool) -> None:
    """Migrate the control database and make the inventory's hosts known, each given with name, address, port and
    what its clients name as sslrootcert, if that is known.
    """
    url = settings().database_url.get_secret_value()
    before, newest = schema_version.current(url), schema_version.newest()
    done = [] if before == newest else [f"migrate from {before or 'nothing'} to {newest}"]
    if done and not check:
        database_admin.upgrade(url)
    if not (done and check):
        done += [f"make {name} known" for name in make_known(url, json.loads(listed), check=check)]
    tell(done)


def make_known(url: str, listed: list[dict[str, Any]], *, check: bool) -> list[str]:
    """The names of the hosts that the control plane did not know, or not like this."""
    engine = make_engine(url, pool_size=1)
    try:
        with make_sessions(engine)() as session:
            known = [make_host_known(session, host) for host in listed]
            changed = [host.name for host in known if host in session.new or session.is_modified(host)]
            if not check:
                session.commit()
            return changed
    finally:
        engine.dispose()


def make_host_known(session: Session, listed: dict[str, Any]) -> Host:
    """The row of one host that the inventory names."""
    name, address, port = listed["name"], listed["address"], listed["port"]
    root, direct = listed["tls_root"] or None, listed.get("direct_port", 6433)
    return hosts.ensure_host(session, SYSTEM, name, address, port, root, direct_port=direct)


def tell(done: list[str]) -> None:
    click.echo(json.dumps({"changed": bool(done), "done": done}))
