"""The commands about API keys, on the control database."""

from datetime import datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from webapp.cli.client import print_columns
from webapp.cli.session import as_json, control_session, show
from webapp.models import ApiKey, User
from webapp.services import api_keys, users
from webapp.services.actors import operator
from webapp.services.api_keys import NewKey

of_user = click.option("--user", "email", required=True, help="E-mail of the key's owner.")
key = click.argument("key", metavar="PREFIX_OR_ID")


@click.group("api-key")
def api_key() -> None:
    """API keys."""


@api_key.command("create")
@of_user
@click.option("--label", default="default", show_default=True, help="A name to recognise the key by.")
@click.option(
    "--scope",
    type=click.Choice(["full", "selected"]),
    default="full",
    show_default=True,
    help="The whole account, or selected databases.",
)
@click.option(
    "--database",
    "names",
    multiple=True,
    metavar="NAME",
    help="A database the key may use, with --scope selected. Repeatable.",
)
@click.option(
    "--days", type=click.IntRange(1, api_keys.MAX_DAYS), help="Days until the key expires. By default it never expires."
)
@as_json
def create(email: str, label: str, scope: str, names: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Create an API key and print it. The key is not shown again."""
    with control_session() as session:
        owner = _owner(session, email)
        made = api_keys.create_key(
            session, operator(), owner, label=label, scope=scope, databases=list(names), days=days
        )
        session.commit()
    _show_new(made, as_json)


@api_key.command("list")
@of_user
@as_json
def list_keys(email: str, as_json: bool) -> None:
    """List a user's API keys, newest first. The keys themselves are not shown."""
    with control_session() as session:
        listed = [_values(each) for each in api_keys.list_keys(session, _owner(session, email))]
    if as_json:
        show({"data": listed}, "", json_wanted=True)
        return
    columns = ("prefix", "label", "scope", "lastUsedAt", "lastUsedIp", "expiresAt", "id")
    heads = ["PREFIX", "LABEL", "SCOPE", "LAST USED", "FROM", "ENDS", "ID"]
    print_columns([heads, *([str(row[column] or "-") for column in columns] for row in listed)])


@api_key.command("replace")
@of_user
@key
@as_json
def replace(email: str, key: str, as_json: bool) -> None:
    """Replace a key with a new one and print it. The old key stops working immediately; all else stays."""
    with control_session() as session:
        found = api_keys.find_key(session, _owner(session, email), key)
        made = api_keys.replace_key(session, operator(), found.id)
        session.commit()
    _show_new(made, as_json)


@api_key.command("revoke")
@of_user
@key
@as_json
def revoke(email: str, key: str, as_json: bool) -> None:
    """Revoke a key. It stops working immediately."""
    with control_session() as session:
        found = api_keys.revoke_key(session, operator(), api_keys.find_key(session, _owner(session, email), key).id)
        session.commit()
    show({"revoked": found.prefix}, f"Revoked {found.prefix}… ({found.label}).", as_json)


def _owner(session: Session, email: str) -> User:
    owner = users.by_email(session, email)
    if owner is None:
        raise click.ClickException(f"There is no user {email}.")
    return owner


def _show_new(made: NewKey, json_wanted: bool) -> None:
    row = made.api_key
    values = {"id": str(row.id), "key": made.secret, "label": row.label, "scope": row.scope}
    show(values | {"expiresAt": _iso(row.expires_at)}, made.secret, json_wanted)


def _values(row: ApiKey) -> dict[str, Any]:
    return {
        "id": str(row.id), "prefix": row.prefix, "label": row.label, "scope": row.scope,
        "createdAt": _iso(row.created_at), "expiresAt": _iso(row.expires_at),
        "lastUsedAt": _iso(row.last_used_at), "lastUsedIp": row.last_used_ip,
    }  # fmt: skip


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
