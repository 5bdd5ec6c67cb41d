"""The commands about what happens to a database by itself, and what may not: its schedule, its protection."""

from typing import Any

import click

from webapp.cli.client import as_json, database, open_client, show_result


@click.command("schedule")
@database
@click.option("--on/--off", "enabled", default=None, help="Turn automatic backups on or off.")
@click.option("--hour", "hourUtc", type=int, help="Hour of the day in UTC, 0 to 23.")
@click.option("--every", "everyHours", type=int, help="Hours between backups: 6, 12, 24, 48 or 168.")
@click.option("--keep-days", "retentionDays", type=int, help="Days that backups are kept.")
@as_json
def schedule(database: str, as_json: bool, **wishes: int | None) -> None:
    """Show a database's backup schedule, or change what the options name."""
    client = open_client()
    path = f"/databases/{client.find(database)}/backup-schedule"
    found = client.get(path)
    changed = {name: value for name, value in wishes.items() if value is not None}
    if changed:
        kept = {name: found[name] for name in wishes}
        found = client.call("PUT", path, json=kept | changed).json()
    show_result(found, as_json, _line(found))


@click.command("protect")
@database
@click.option("--off", is_flag=True, help="Turn protection off.")
@as_json
def protect(database: str, off: bool, as_json: bool) -> None:
    """Protect a database from being deleted."""
    client = open_client()
    path = f"/databases/{client.find(database)}/delete-protection"
    found = client.call("PUT", path, json={"enabled": not off}).json()
    told = f"{database} can be deleted." if off else f"{database} cannot be deleted now."
    show_result(found, as_json, "", told)


def _line(found: dict[str, Any]) -> str:
    proven = f"last proven restorable: {found['lastProven']}" if found["lastProven"] else "none proven restorable yet"
    kept = f"backups are kept for {found['retentionDays']} days"
    if not found["enabled"]:
        return f"Not backed up by itself; {kept}; {proven}."
    when = f"every {found['everyHours']} hours from {found['hourUtc']:02}:00 UTC, next {found['nextRunAt'][:16]}"
    return f"Backed up {when}; {kept}; {proven}."
