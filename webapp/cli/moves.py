"""The command that moves a database to another host, by the REST API; for platform admins."""

import click

from webapp.cli.client import as_json, carry_out, database, open_client, show_database


@click.command("move")
@database
@click.option("--to", "host", required=True, metavar="HOST", help="The host to move to.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
def move(database: str, host: str, yes: bool, as_json: bool) -> None:
    """Move a database to another host. It is read-only during the move and offline for seconds at its end."""
    client = open_client()
    path = f"/databases/{client.find(database)}/move"
    if not yes:
        click.confirm(f"Cut off the clients of {database} and move it to {host}?", abort=True, err=True)
    show_database(carry_out(client, "POST", path, {"host": host}), as_json)
