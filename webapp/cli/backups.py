"""The commands about backups, clones and deleted databases, by the REST API."""

import hashlib
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from webapp.cli.api_client import NOT_FOUND, ApiClient, ApiError
from webapp.cli.backup_schedule import schedule
from webapp.cli.client import (
    as_json,
    carry_out,
    database,
    follow,
    open_client,
    print_columns,
    show_database,
    show_result,
)

BLOCK = 1024 * 1024
filename = click.argument("filename")
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.group()
def backups() -> None:
    """Backups of a database (DBHOST_API_URL, DBHOST_API_KEY, or `auth login`)."""


backups.add_command(schedule)


@backups.command("list")
@database
@as_json
def list_backups(database: str, as_json: bool) -> None:
    """List the finished backups, newest first."""
    client = open_client()
    rows = client.get(_path(client, database))
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = [[row["filename"], _kind(row), row["sizePretty"], (row["provenAt"] or "-")[:16]] for row in rows]
    print_columns([["FILENAME", "KIND", "SIZE", "PROVEN"], *table])


@backups.command("create")
@database
@click.option("--no-wait", is_flag=True, help="Return as soon as the backup has started.")
@as_json
def create(database: str, no_wait: bool, as_json: bool) -> None:
    """Back up a database and print the name of the finished backup."""
    client = open_client()
    path = _path(client, database)
    operation = client.call("POST", path, headers={"Idempotency-Key": uuid.uuid4().hex}).json()["operation"]
    if no_wait:
        show_result(operation, as_json, operation["id"], "Backup started.")
        return
    follow(client, operation)
    made = client.get(path)[0]
    show_result(made, as_json, made["filename"], f"Backed up {database}: {made['sizePretty']}.")


@backups.command("download")
@database
@click.argument("filename", required=False)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to save it. By default in this folder, under the backup's name.",
)
@as_json
def download(database: str, filename: str | None, output: Path | None, as_json: bool) -> None:
    """Download a backup, by default the newest, and verify its checksum."""
    client = open_client()
    path = _path(client, database)
    known = _known(client.get(path), filename)
    target = output or Path(known["filename"])
    _fetch(client, f"{path}/{known['filename']}", target, known["sha256"])
    show_result({**known, "path": str(target)}, as_json, str(target), f"{known['sizePretty']}, checksum right.")


@backups.command("restore")
@database
@filename
@yes
@as_json
def restore(database: str, filename: str, yes: bool, as_json: bool) -> None:
    """Replace everything in a database with a backup. A safety backup is taken first."""
    client = open_client()
    path = f"{_path(client, database)}/{filename}"
    _confirm(yes, f"Replace everything in {database} by {filename}?")
    show_result(done := carry_out(client, "POST", path), as_json, done.get("message", ""))


@backups.command("delete")
@database
@filename
@yes
@as_json
def delete(database: str, filename: str, yes: bool, as_json: bool) -> None:
    """Delete a backup."""
    client = open_client()
    path = f"{_path(client, database)}/{filename}"
    _confirm(yes, f"Delete {filename}?")
    carry_out(client, "DELETE", path)
    show_result({"deleted": filename}, as_json, "", f"Deleted {filename}.")


@backups.command("import")
@database
@click.argument("dump", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from-database", help="Which database to import, if the dump contains several.")
@click.option("--allow-incomplete", is_flag=True, help="Import the dump even if it is truncated or empty.")
@yes
@as_json
def import_dump(
    database: str, dump: Path, from_database: str | None, allow_incomplete: bool, yes: bool, as_json: bool
) -> None:
    """Replace everything in a database with your own dump: SQL or a pg_dump archive, up to 512 MB."""
    client = open_client()
    path = f"{_path(client, database)}/restore"
    _confirm(yes, f"Replace everything in {database} by {dump.name}?")
    with _bar("Uploading") as seen, dump.open("rb") as file:
        counted = _Counted(file, dump.stat().st_size, seen)
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}
        fields = {"database": from_database or "", "allowIncomplete": "true" if allow_incomplete else ""}
        response = client.call("POST", path, files={"file": (dump.name, counted)}, data=fields, headers=headers)
    done = follow(client, response.json())
    skipped = [change for change in done["changes"] or [] if change.startswith("Skip ")]
    told = [f"{database} was restored from {dump.name}.", *skipped]
    show_result({"restored": dump.name, "skipped": skipped}, as_json, "", "\n".join(told))


@click.command("clone")
@database
@click.argument("name")
@click.option("--display-name", help="The name people see. By default the database's name.")
@click.option("--backup", help="The backup to copy. By default the database as it is now.")
@as_json
def clone(database: str, name: str, display_name: str | None, backup: str | None, as_json: bool) -> None:
    """Copy a database into a new one and print the new connection string."""
    client = open_client()
    body = {"name": name, "displayName": display_name or name} | ({"filename": backup} if backup else {})
    made = carry_out(client, "POST", f"/databases/{client.find(database)}/clone", body)
    show_result(made, as_json, made.get("connectionString", ""), f"Created {name}. The password is not shown again.")


@click.command("deleted")
@as_json
def deleted(as_json: bool) -> None:
    """List deleted databases that can be restored with `undelete`."""
    rows = open_client().get("/databases/deleted")["data"]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = [[row["name"], row["deletedAt"][:16], row["finalBackup"], row["expiresAt"][:10], row["id"]] for row in rows]
    print_columns([["NAME", "DELETED", "FINAL BACKUP", "KEPT UNTIL", "ID"], *table])
    for row in rows:
        if row["problem"]:
            click.echo(f"{row['name']}: the final backup failed ({row['problem']}); it is tried again.", err=True)


@click.command("undelete")
@database
@click.option("--name", help="A new name, if the old one has been taken.")
@as_json
def undelete(database: str, name: str | None, as_json: bool) -> None:
    """Bring back a deleted database, by its old name or its ID."""
    client = open_client()
    listed = client.get("/databases/deleted")["data"]
    found = [row["id"] for row in listed if database in (row["name"], row["id"])]
    if not found:
        raise ApiError(f"There is no deleted database {database} that could be brought back.", NOT_FOUND)
    body = {"name": name} if name else {}
    show_database(carry_out(client, "POST", f"/databases/{found[0]}/undelete", body), as_json)


class _Counted:
    """A file that tells how far it has been read."""

    def __init__(self, file: Any, total: int, seen: Callable[[int, int], None]) -> None:
        self._file, self._total, self._seen = file, total, seen

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._seen(self._file.tell(), self._total)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(BLOCK), b"")


def _path(client: ApiClient, name_or_id: str) -> str:
    return f"/databases/{client.find(name_or_id)}/backups"


def _kind(row: dict[str, Any]) -> str:
    return f"{row['kind']}, encrypted" if row["encrypted"] else str(row["kind"])


def _known(rows: list[dict[str, Any]], filename: str | None) -> dict[str, Any]:
    found = [row for row in rows if filename in (None, row["filename"])]
    if not found:
        raise ApiError(f"There is no backup {filename or 'yet'}.", NOT_FOUND)
    return found[0]


def _fetch(client: ApiClient, path: str, target: Path, sha256: str) -> None:
    """The whole file or none: written beside its place, checked, then renamed."""
    part = target.with_name(f".{target.name}.part")
    try:
        while True:
            with part.open("wb") as file, _bar("Downloading") as seen:
                operation = client.download(path, file, seen)
            if operation is None:
                break
            # Something else was at the database: how that ended is not this command's business.
            with suppress(ApiError) if operation["kind"] != "backup.fetch" else nullcontext():
                follow(client, operation)
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise ApiError("What was downloaded is not the backup: its checksum differs. Try again.")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
