"""The commands that speak to the REST API: `auth` and `databases`."""

import json
import sys
import time
import uuid
from typing import Any

import click
from rich.console import Console

from webapp.cli.api_client import (
    FAILED,
    ApiClient,
    ApiError,
    Login,
    credentials_file,
    current_login,
    default_url,
    store,
)

POLL_S = 0.25
COLUMNS = ("name", "displayName", "status", "sizeBytes", "id")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the API's answer as JSON.")
database = click.argument("database", metavar="NAME_OR_ID")


@click.group()
def auth() -> None:
    """Save or delete the API key that the other commands use."""


@auth.command("login")
@click.option(
    "--api-key", prompt="API key", hide_input=True, help="The API key. You are asked for it when it is left out."
)
@click.option("--api-url", envvar="DBHOST_API_URL", help="Address of the API. By default the stack of this checkout.")
def login(api_key: str, api_url: str | None) -> None:
    """Check an API key and save it in a file that only you can read."""
    given = Login((api_url or default_url()).rstrip("/"), api_key.strip())
    ApiClient(given).get("/databases", limit=1)
    click.echo(f"Logged in to {given.url}; the key is in {store(given)}.", err=True)


@auth.command("logout")
def logout() -> None:
    """Delete the saved API key."""
    credentials_file().unlink(missing_ok=True)


@click.group()
def databases() -> None:
    """Create, use and change databases. Needs an API key: see `dbhost auth login`."""


@databases.command("list")
@click.option("--search", default="", help="Only databases whose name or display name contains this.")
@click.option("--status", help="Only databases with this status.")
@as_json
def list_databases(search: str, status: str | None, as_json: bool) -> None:
    """List all your databases."""
    filters = {name: value for name, value in (("search", search), ("status", status)) if value}
    rows = list(open_client().all_pages("/databases", **filters))
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = [[str(row[column]) for column in COLUMNS] for row in rows]
    print_columns([["NAME", "DISPLAY NAME", "STATUS", "BYTES", "ID"], *table])


@databases.command("create")
@click.argument("name")
@click.option("--display-name", help="The name people see. By default the database's name.")
@click.option(
    "--direct", is_flag=True, help="Print the direct connection string, for migrations, pg_dump and LISTEN/NOTIFY."
)
@as_json
def create(name: str, display_name: str | None, direct: bool, as_json: bool) -> None:
    """Create a database and print its connection string, the pooled one unless --direct is given."""
    body = {"name": name, "displayName": display_name or name}
    made = carry_out(open_client(), "POST", "/databases", body)
    string = made.get("directConnectionString" if direct else "connectionString", "")
    show_result(made, as_json, string, f"Created {name}. The password is not shown again.")


@databases.command("show")
@database
@as_json
def show(database: str, as_json: bool) -> None:
    """Show a database's details, without its password."""
    client = open_client()
    show_database(client.get(f"/databases/{client.find(database)}"), as_json)


@databases.command("rename")
@database
@click.argument("display_name")
@as_json
def rename(database: str, display_name: str, as_json: bool) -> None:
    """Change a database's display name. Connection strings stay the same."""
    client = open_client()
    path = f"/databases/{client.find(database)}"
    show_database(client.call("PATCH", path, json={"displayName": display_name}).json(), as_json)


@databases.command("delete")
@database
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--skip-final-backup", is_flag=True, help="Take no final backup. The database cannot be brought back.")
@as_json
def delete(database: str, yes: bool, skip_final_backup: bool, as_json: bool) -> None:
    """Delete a database with all its data."""
    client = open_client()
    path = f"/databases/{client.find(database)}" + ("?skipFinalBackup=true" if skip_final_backup else "")
    if not yes:
        click.confirm(f"Delete {database} with all its data?", abort=True, err=True)
    carry_out(client, "DELETE", path)
    show_result({"deleted": database}, as_json, "", f"Deleted {database}.")


@databases.command("reset-password")
@database
@as_json
def reset_password(database: str, as_json: bool) -> None:
    """Reset a database's password and print the new one. The old one stops working immediately."""
    client = open_client()
    made = carry_out(client, "POST", f"/databases/{client.find(database)}/reset-password")
    show_result(made, as_json, made.get("password", ""), f"The password of {database} is new; it is not shown again.")


@databases.command("repair-ownership")
@database
@as_json
def repair_ownership(database: str, as_json: bool) -> None:
    """Make the database's own role the owner of everything inside it."""
    client = open_client()
    made = carry_out(client, "POST", f"/databases/{client.find(database)}/repair-ownership")
    show_result(made, as_json, made.get("message", ""))


def _action(name: str, help_text: str) -> None:
    """Add a command that posts to the action of this name and shows the database."""

    @databases.command(name, help=help_text)
    @database
    @as_json
    def act(database: str, as_json: bool) -> None:
        client = open_client()
        show_database(carry_out(client, "POST", f"/databases/{client.find(database)}/{name}"), as_json)


_action("start", "Start a stopped database.")
_action("stop", "Stop a database: disconnect all clients and refuse new ones. The data stays.")
_action("restart", "Disconnect all clients. They can reconnect immediately.")


def open_client() -> ApiClient:
    return ApiClient(current_login())


def carry_out(client: ApiClient, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Carry a change out to its end, with progress on a terminal.

    When the server answers before the end, the operation is followed, and the same POST with the same
    Idempotency-Key then gives the final answer.
    """
    key = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
    prefer = {"Prefer": "respond-async"} if sys.stderr.isatty() else {}
    response = client.call(method, path, json=body, headers={**key, **prefer})
    while response.status_code == 202:
        follow(client, response.json())
        if method != "POST":
            return {}
        response = client.call(method, path, json=body, headers=key)
    return dict(response.json()) if response.content else {}


def follow(client: ApiClient, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait until the operation has ended, and return it as it is then. Raises ApiError unless it succeeded."""
    with Console(stderr=True).status("Waiting for the host") as status:
        while operation["state"] in ("queued", "running"):
            progress = operation["progress"]
            if progress["stepName"]:
                status.update(f"Step {progress['step']} of {progress['stepsTotal']}: {progress['stepName']}")
            time.sleep(POLL_S)
            operation = client.get(f"/operations/{operation['id']}")
    if operation["state"] != "succeeded":
        error = operation["error"] or {}
        step = f" at the step “{error['step']}”" if error.get("step") else ""
        message = f": {error['message']}" if error.get("message") else "."
        raise ApiError(f"The operation {operation['id']} {operation['state']}{step}{message}", FAILED)
    return operation


def show_database(values: dict[str, Any], as_json: bool) -> None:
    width = max(len(name) for name in values)
    show_result(values, as_json, "\n".join(f"{name:<{width}}  {_words(value)}" for name, value in values.items()))


def _words(value: Any) -> str:
    return ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)


def show_result(values: dict[str, Any], as_json: bool, text: str, note: str = "") -> None:
    """The result alone on standard output, so that it can be piped; words for the person beside it."""
    if as_json:
        click.echo(json.dumps(values))
        return
    if note:
        click.echo(note, err=True)
    if text:
        click.echo(text)


def print_columns(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
