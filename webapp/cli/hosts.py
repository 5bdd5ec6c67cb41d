"""`dbhost host …`: add machines to this installation, look at them, take them out of service."""

import getpass
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from webapp.cli.session import as_json, control_session, show
from webapp.embedded.environment import load
from webapp.embedded.progress import Progress
from webapp.services import host_changes, host_details, hosts
from webapp.services.actors import SYSTEM, operator
from webapp.services.host_keys import fingerprint
from webapp.services.host_rules import HostSpec, check_address

name_argument = click.argument("name")


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """How a host's key is known: given, in a file, or by its fingerprint; else a person is asked."""
    for option in (
        click.option("--host-key", "keys", multiple=True, metavar="KEY", help="Its SSH key: 'ssh-ed25519 AAAA…'."),
        click.option(
            "--host-key-file", "key_files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="A file with its public keys. Repeatable.",
        ),
        click.option(
            "--yes-fingerprint", "fingerprints", multiple=True, metavar="SHA256:…", help="Accept this fingerprint."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def given_keys(keys: tuple[str, ...], key_files: tuple[Path, ...]) -> list[str]:
    lines = [line for file in key_files for line in file.read_text(encoding="utf-8").splitlines()]
    return [*keys, *(line for line in lines if line.strip() and not line.startswith("#"))]


@click.group()
def host() -> None:
    """Hosts: the machines that databases live on."""


@host.command("add")
@name_argument
@click.option("--address", required=True, help="Name or IP address for SSH.")
@click.option("--ssh-port", type=click.IntRange(1, 65535), default=22, show_default=True, help="Port of SSH.")
@click.option("--public-host", help="Host name in connection strings. By default the address.")
@click.option("--region", default="default", show_default=True, help="The region it belongs to.")
@click.option(
    "--capacity", type=click.IntRange(0), default=5000, show_default=True, help="The most databases to place on it."
)
@click.option(
    "--user",
    default=getpass.getuser,
    show_default="you",
    help="Your user on the server, with sudo without a password.",
)
@click.option("--identity", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your private key file.")
@click.option(
    "--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable of an Ansible role. Repeatable."
)
@click.option(
    "--tls-root", metavar="ROOT", help="The clients' sslrootcert: a file, or `system` for a public authority."
)
@key_options
def add(
    name: str, address: str, user: str, identity: Path | None, variables: tuple[str, ...], keys: tuple[str, ...],
    key_files: tuple[Path, ...], fingerprints: tuple[str, ...], **more: Any,
) -> None:  # fmt: skip
    """Set up a Debian server as a host for databases.

    Pins its SSH key, runs host.yml and checks its health. If a step fails, the host stays closed to new databases; run
    the same command again to continue.
    """
    from webapp.enrolment import enrol, surroundings
    from webapp.enrolment import keys as host_keys
    from webapp.enrolment.login import Operator

    check_address(address)
    with control_session() as session:
        known = enrol.known(session, name)
        pinned = known.host_keys if known else []
        chosen = host_keys.choose(address, more["ssh_port"], given_keys(keys, key_files), fingerprints, pinned)
        spec = HostSpec(name, address, tuple(chosen), variables=parse_variables(variables), **more)
        around = surroundings.of(load(os.environ))
        made = enrol.enrol(session, operator(), around, Operator(user, identity), spec, Progress())
        click.echo(f"{made.name} is {made.state}.")


def parse_variables(given: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=VALUE`, each value as YAML reads it."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text} is not NAME=VALUE.", param_hint="--var")
        found[name] = yaml.safe_load(value)
    return found


@host.command("list")
@as_json
def list_hosts(as_json: bool) -> None:
    """List the hosts and how full they are."""
    with control_session() as session:
        rows = [host_details.as_values(row) for row in host_details.list_hosts(session)]
    titles = ["NAME", "STATE", "REGION", "ADDRESS", "DATABASES", "PROBLEMS"]
    show(rows, columns([titles, *(line(row) for row in rows)]), as_json)
    if rows and (warning := host_details.backups_at_risk()):
        click.echo(warning, err=True)


def line(row: Mapping[str, Any]) -> list[str]:
    room = f"{row['databases']} of {row['capacity']}"
    return [row["name"], row["state"], row["region"], row["address"] or "-", room, " ".join(row["problems"]) or "-"]


def columns(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@host.command("show")
@name_argument
@as_json
def show_command(name: str, as_json: bool) -> None:
    """Show a host's details."""
    with control_session() as session:
        values = dict(host_details.as_values(host_details.show_host(session, name)))
    width = max(map(len, values))
    lines = [
        f"{key:<{width}}  {', '.join(value) if isinstance(value, list) else value}" for key, value in values.items()
    ]
    show(values, "\n".join(lines), as_json)


def _state(command: str, state: str, help_text: str) -> None:
    """Add a command that gives a host this state."""

    @host.command(command, help=help_text)
    @name_argument
    def change(name: str) -> None:
        with control_session() as session:
            changed = host_changes.set_state(session, operator(), hosts.by_name(session, name), state)
            session.commit()
        click.echo(f"{name} is {'now' if changed else 'already'} {state}.")


_state("drain", "draining", "Place no new databases on a host. Existing ones keep working.")
_state("activate", "active", "Allow new databases on a host and resume waiting operations.")
_state("offline", "offline", "Hold all operations for a host until it is active or draining again.")


@host.command("rekey")
@name_argument
@key_options
def rekey(name: str, keys: tuple[str, ...], key_files: tuple[Path, ...], fingerprints: tuple[str, ...]) -> None:
    """Trust a host's new SSH key and resume waiting operations. Find out first why it changed."""
    from webapp.enrolment import keys as host_keys

    with control_session() as session:
        row = hosts.by_name(session, name)
        chosen = host_keys.choose(row.address or "", row.ssh_port, given_keys(keys, key_files), fingerprints, [])
        host_changes.rekey(session, operator(), row, chosen)
        session.commit()
    click.echo(f"Pinned for {name}: {', '.join(fingerprint(key) for key in chosen)}")


@host.command("remove")
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def remove(name: str, yes: bool) -> None:
    """Remove a host that has no databases. The machine itself is not changed."""
    with control_session() as session:
        row = hosts.by_name(session, name)
        if not yes:
            click.confirm(f"Forget the host {name}?", abort=True, err=True)
        host_changes.remove(session, operator(), row)
        session.commit()
    click.echo(f"{name} is removed.")


@click.command("ensure-hosts", hidden=True)
@click.argument("listed")
def ensure_hosts(listed: str) -> None:
    """Make the rows of hosts that `up --hosts` has set up, given as JSON, and prove that the worker can use them."""
    from webapp.enrolment import enrol, surroundings

    with control_session() as session:
        rows = []
        for given in json.loads(listed):
            spec = HostSpec(**{**given, "host_keys": tuple(given["host_keys"])})
            rows.append(host_changes.adopt(session, SYSTEM, spec))
        session.commit()
        enrol.prove_and_activate(session, SYSTEM, surroundings.of(load(os.environ)), rows, Progress())
        hosts.drain_embedded(session, SYSTEM)
        session.commit()
