"""The commands about a database's team: members, invitations, and handing a database over."""

import json
from typing import Any

import click

from webapp.cli.api_client import NOT_FOUND, ApiClient, ApiError
from webapp.cli.client import as_json, carry_out, database, open_client, print_columns, show_result

LEVELS = click.Choice(["admin", "developer", "viewer"])
email = click.argument("email")
level = click.option("--level", type=LEVELS, required=True, help="Their access level.")
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.group("members")
def members() -> None:
    """Other people's access to a database."""


@members.command("list")
@database
@as_json
def list_members(database: str, as_json: bool) -> None:
    """List the members and, if you may see them, the open invitations."""
    client = open_client()
    path = _path(client, database)
    listed = [{**row, "state": "member"} for row in client.get(f"{path}/members")["data"]]
    listed += [{**row, "state": "invited"} for row in _invitations(client, path)]
    if as_json:
        click.echo(json.dumps(listed))
        return
    print_columns([["E-MAIL", "LEVEL", "STATE"], *([row["email"], row["role"], row["state"]] for row in listed)])


@members.command("invite")
@database
@email
@level
@as_json
def invite(database: str, email: str, level: str, as_json: bool) -> None:
    """Invite someone by e-mail. Invite them again to send a new link."""
    client = open_client()
    body = {"email": email, "role": level}
    made = carry_out(client, "POST", f"{_path(client, database)}/invitations", body)
    show_result(made, as_json, "", f"Invited {made['email']} as {level}, until {made['expiresAt'][:10]}.")


@members.command("add")
@database
@email
@level
@as_json
def add(database: str, email: str, level: str, as_json: bool) -> None:
    """Give someone who has an account access immediately."""
    client = open_client()
    body = {"email": email, "role": level}
    made = carry_out(client, "POST", f"{_path(client, database)}/members", body)
    show_result(made, as_json, "", f"{made['email']} is {level} now.")


@members.command("change")
@database
@email
@level
@as_json
def change(database: str, email: str, level: str, as_json: bool) -> None:
    """Change a member's access level."""
    client = open_client()
    path = _path(client, database)
    found = _find(client.get(f"{path}/members")["data"], email, "member")
    changed = client.call("PATCH", f"{path}/members/{found['id']}", json={"role": level}).json()
    show_result(changed, as_json, "", f"{changed['email']} is {level} now.")


@members.command("remove")
@database
@email
def remove(database: str, email: str) -> None:
    """Remove a member and their credentials, or withdraw an invitation."""
    client = open_client()
    path = _path(client, database)
    rows = [{**row, "path": "members"} for row in client.get(f"{path}/members")["data"]]
    rows += [{**row, "path": "invitations"} for row in _invitations(client, path)]
    found = _find(rows, email, "member")
    client.call("DELETE", f"{path}/{found['path']}/{found['id']}")
    click.echo(f"{found['email']} has no access to {database}.", err=True)


@members.command("leave")
@database
@yes
def leave(database: str, yes: bool) -> None:
    """Give up your own access to a database."""
    client = open_client()
    path = _path(client, database)
    if not yes:
        click.confirm(f"Leave {database}?", abort=True, err=True)
    client.call("DELETE", f"{path}/members/me")
    click.echo(f"You left {database}.", err=True)


@click.group("transfer")
def transfer() -> None:
    """Transfer a database to another owner, who has to accept."""


@transfer.command("offer")
@database
@email
@click.option("--leave", is_flag=True, help="Give up your access after the transfer instead of staying as an admin.")
@yes
@as_json
def offer(database: str, email: str, leave: bool, yes: bool, as_json: bool) -> None:
    """Offer a database to another person. The offer lasts seven days."""
    client = open_client()
    path = _path(client, database)
    if not yes:
        click.confirm(f"Offer {database} with all its data to {email}?", abort=True, err=True)
    made = carry_out(client, "POST", f"{path}/transfer", {"email": email, "stay": not leave})
    show_result(made, as_json, "", f"Offered to {made['email']}, until {made['expiresAt'][:10]}.")


@transfer.command("show")
@database
@as_json
def show(database: str, as_json: bool) -> None:
    """Show who a database is offered to."""
    client = open_client()
    found = client.get(f"{_path(client, database)}/transfer")
    show_result(found, as_json, f"{found['email']}  until {found['expiresAt'][:10]}")


@transfer.command("withdraw")
@database
def withdraw(database: str) -> None:
    """Withdraw the offer."""
    client = open_client()
    client.call("DELETE", f"{_path(client, database)}/transfer")
    click.echo(f"{database} stays yours.", err=True)


@click.group("invitations")
def invitations() -> None:
    """Invitations you have received."""


@invitations.command("list")
@as_json
def list_own(as_json: bool) -> None:
    """List your invitations. Level `owner` means the database itself is offered."""
    listed = open_client().get("/invitations")["data"]
    if as_json:
        click.echo(json.dumps(listed))
        return
    columns = ("database", "role", "invitedBy", "id")
    print_columns([["DATABASE", "LEVEL", "BY", "ID"], *([row[column] for column in columns] for row in listed)])


@invitations.command("accept")
@database
@as_json
def accept(database: str, as_json: bool) -> None:
    """Accept an invitation, by the database's name or the invitation's ID."""
    client = open_client()
    found = _own(client, database)
    answer = client.call("POST", f"/invitations/{found['id']}/accept").json()
    told = "is yours now" if found["role"] == "owner" else f"is shared with you, as {found['role']}"
    show_result(answer, as_json, "", f"{found['database']} {told}.")


@invitations.command("decline")
@database
def decline(database: str) -> None:
    """Decline an invitation, by the database's name or the invitation's ID."""
    client = open_client()
    found = _own(client, database)
    client.call("POST", f"/invitations/{found['id']}/decline")
    click.echo(f"Declined {found['database']}.", err=True)


def _path(client: ApiClient, name_or_id: str) -> str:
    return f"/databases/{client.find(name_or_id)}"


def _invitations(client: ApiClient, path: str) -> list[dict[str, Any]]:
    """Who is invited; nobody for those who may not see it."""
    try:
        return list(client.get(f"{path}/invitations")["data"])
    except ApiError as error:
        if error.exit_code != NOT_FOUND:
            raise
        return []


def _find(rows: list[dict[str, Any]], email: str, what: str) -> dict[str, Any]:
    for row in rows:
        if row["email"].lower() == email.strip().lower():
            return row
    raise ApiError(f"There is no {what} {email}.", NOT_FOUND)


def _own(client: ApiClient, name_or_id: str) -> dict[str, Any]:
    for row in client.get("/invitations")["data"]:
        if name_or_id in (row["id"], row["database"]):
            return dict(row)
    raise ApiError(f"You are not invited to {name_or_id}.", NOT_FOUND)
