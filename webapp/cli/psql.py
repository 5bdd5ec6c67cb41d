"""The commands that open a database in psql, with everything set for it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click

from webapp.cli.api_client import DENIED, NOT_FOUND, ApiClient, ApiError, config_folder, write_private
from webapp.cli.client import database, open_client

MISSING = 127  # as a shell says it of a command that is not there
# What libpq would read besides, and so connect elsewhere or otherwise than the connection string says.
OVERRIDES = frozenset(
    {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE",
     "PGREQUIREAUTH", "PGCHANNELBINDING", "PGREQUIRESSL", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGGSSENCMODE"}
)  # fmt: skip
direct = click.option(
    "--direct", is_flag=True, help="Use the direct connection: migrations, LISTEN/NOTIFY, session settings."
)


@click.command("connect")
@database
@direct
def connect(database: str, direct: bool) -> None:
    """Open a psql session on a database. Nothing else needs to be set."""
    _become_psql(database, direct, ())


@click.command("psql", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@direct
@database
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL_OPTIONS]...")
def psql(database: str, direct: bool, options: tuple[str, ...]) -> None:
    """Run psql on a database with psql's own options, such as -c 'SELECT 1', and exit with its code."""
    _become_psql(database, direct, options)


def _become_psql(name_or_id: str, direct: bool, options: tuple[str, ...]) -> None:
    """Replace this process by psql. The password is in its environment alone, which only you can read."""
    program = shutil.which("psql")
    if program is None:
        raise ApiError(
            "psql is not installed. On Debian or Ubuntu: apt-get install postgresql-client; "
            "on macOS: brew install libpq.",
            MISSING,
        )
    client = open_client()
    environment = connection_environment(client, _credentials(client, name_or_id), direct)
    os.execve(program, ["psql", *options], environment)  # noqa: S606  # no shell is the point


def _credentials(client: ApiClient, name_or_id: str) -> dict[str, Any]:
    path = f"/databases/{client.find(name_or_id)}"
    client.get(path)
    try:
        return dict(client.call("POST", f"{path}/reveal-credentials").json())
    except ApiError as error:
        if error.exit_code != NOT_FOUND:
            raise
        told = f"You may not see the password of {name_or_id}. Ask its owner for the level developer or admin."
        raise ApiError(told, DENIED) from None


def connection_environment(client: ApiClient, known: Mapping[str, Any], direct: bool) -> dict[str, str]:
    """This process's environment with what psql needs to connect, and nothing that leads it elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in OVERRIDES and not name.startswith("PGSSL")}
    options = dict(parse_qsl(urlsplit(known["connectionString"]).query))
    root = options.get("sslrootcert", "")
    tls = {f"PG{name.upper()}": value for name, value in options.items()}
    if root not in ("", "system"):
        tls["PGSSLROOTCERT"] = str(_authority(client, Path(root)))
    return {
        "PGAPPNAME": "dbhost psql",
        **kept,
        "PGHOST": known["host"],
        "PGPORT": str(known["directPort" if direct else "port"]),
        "PGDATABASE": known["database"],
        "PGUSER": known["username"],
        "PGPASSWORD": known["password"],
        **tls,
    }


def _authority(client: ApiClient, named: Path) -> Path:
    """The certificate authority's file: where the connection string says, else fetched from the dashboard's address."""
    if os.access(named, os.R_OK):
        return named
    path = config_folder() / f"ca-{urlsplit(client.login.url).hostname}.crt"
    write_private(path, client.fetch("/ca.crt"))
    return path
