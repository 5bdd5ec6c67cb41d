"""The commands about a database's allowlist, by the REST API."""

import json
from typing import Any

import click

from webapp.cli.api_client import ApiClient
from webapp.cli.client import as_json, carry_out, database, open_client, print_columns

network = click.argument("cidr", metavar="CIDR")


@click.group("allowlist")
def allowlist() -> None:
    """The networks that may connect to a database. An empty list allows all."""


@allowlist.command("list")
@database
@as_json
def list_networks(database: str, as_json: bool) -> None:
    """List the networks that may connect to a database."""
    client = open_client()
    _show(client.get(_path(client, database)), as_json)


@allowlist.command("add")
@database
@network
@click.option("--label", default="", help="A note for people, such as the office it belongs to.")
@as_json
def add(database: str, cidr: str, label: str, as_json: bool) -> None:
    """Add a network to the allowlist. Once one is listed, all others are refused."""
    client = open_client()
    path = _path(client, database)
    listed = client.get(path)["data"]
    _replace(client, path, [*listed, {"cidr": cidr, "label": label}], as_json)


@allowlist.command("remove")
@database
@network
@as_json
def remove(database: str, cidr: str, as_json: bool) -> None:
    """Remove a network from the allowlist. An empty list allows all networks."""
    client = open_client()
    path = _path(client, database)
    listed = client.get(path)["data"]
    left = [entry for entry in listed if entry["cidr"] != cidr]
    if len(left) == len(listed):
        raise click.ClickException(f"{cidr} is not on the allowlist; `list` shows each as it is kept.")
    _replace(client, path, left, as_json)


def _path(client: ApiClient, name_or_id: str) -> str:
    return f"/databases/{client.find(name_or_id)}/allowlist"


def _replace(client: ApiClient, path: str, entries: list[dict[str, str]], as_json: bool) -> None:
    carry_out(client, "PUT", path, {"data": entries})
    _show(client.get(path), as_json)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    """The list on standard output; what to know about it beside."""
    if as_json:
        click.echo(json.dumps(answer))
        return
    for warning in answer["warnings"]:
        click.echo(f"Warning: {warning}", err=True)
    if answer["data"]:
        print_columns([["NETWORK", "LABEL"], *([entry["cidr"], entry["label"]] for entry in answer["data"])])
    else:
        click.echo("Open to every network.", err=True)
