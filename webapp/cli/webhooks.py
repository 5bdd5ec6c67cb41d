"""The commands about webhook endpoints, by the REST API."""

import json
import uuid
from typing import Any

import click

from webapp.cli.api_client import ApiClient
from webapp.cli.client import as_json, open_client, print_columns, show_result
from webapp.services.webhooks import EVENTS

endpoint = click.argument("endpoint", metavar="ID")
delivery = click.argument("delivery", metavar="DELIVERY")
events = click.option("--event", "events", multiple=True, help="An event to send. Repeatable; `events` lists them all.")


@click.group("webhooks")
def webhooks() -> None:
    """Your webhook endpoints and what was sent to them."""


@webhooks.command("list")
@as_json
def list_endpoints(as_json: bool) -> None:
    """List your webhook endpoints."""
    answer = open_client().get("/webhooks")
    rows = [[row["id"], row["state"], row["url"], ",".join(row["events"])] for row in answer["data"]]
    _table(answer, as_json, ["ID", "STATE", "ADDRESS", "EVENTS"], rows, "No endpoints.")


@webhooks.command("events")
@as_json
def list_events(as_json: bool) -> None:
    """List the events that an endpoint can be sent."""
    if as_json:
        click.echo(json.dumps(EVENTS))
        return
    print_columns([["EVENT", "WHEN"], *([name, words] for name, words in EVENTS.items())])


@webhooks.command("create")
@click.argument("url")
@events
@as_json
def create(url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Create an endpoint and print its signing secret, which is not shown again."""
    made = _post(open_client(), "/webhooks", {"url": url, "events": list(events)})
    show_result(made, as_json, made["secret"], f"Created {made['id']}. The secret is not shown again.")


@webhooks.command("show")
@endpoint
@as_json
def show(endpoint: str, as_json: bool) -> None:
    """Show an endpoint's details, without its secret."""
    _show(open_client().get(f"/webhooks/{endpoint}"), as_json)


@webhooks.command("update")
@endpoint
@click.option("--url", help="The new address.")
@events
@as_json
def update(endpoint: str, url: str | None, events: tuple[str, ...], as_json: bool) -> None:
    """Change an endpoint's address or events."""
    given = {"url": url, "events": list(events) or None}
    _change(endpoint, {name: value for name, value in given.items() if value is not None}, as_json)


@webhooks.command("enable")
@endpoint
@as_json
def enable(endpoint: str, as_json: bool) -> None:
    """Enable an endpoint and send what is waiting."""
    _change(endpoint, {"state": "active"}, as_json)


@webhooks.command("disable")
@endpoint
@as_json
def disable(endpoint: str, as_json: bool) -> None:
    """Disable an endpoint. Nothing is sent until it is enabled again."""
    _change(endpoint, {"state": "disabled"}, as_json)


@webhooks.command("rotate-secret")
@endpoint
@click.option("--end-old", is_flag=True, help="End the old secret immediately. By default both sign for a day.")
@as_json
def rotate_secret(endpoint: str, end_old: bool, as_json: bool) -> None:
    """Replace the signing secret and print the new one, which is not shown again."""
    made = _post(open_client(), f"/webhooks/{endpoint}/rotate-secret", {"endOld": end_old})
    note = "The old secret has ended." if end_old else f"The old secret signs too until {made['oldSecretEndsAt']}."
    show_result(made, as_json, made["secret"], note)


@webhooks.command("test")
@endpoint
@as_json
def test(endpoint: str, as_json: bool) -> None:
    """Send a test event to an endpoint."""
    made = _post(open_client(), f"/webhooks/{endpoint}/test")
    show_result(made, as_json, made["id"], "On its way; `deliveries` shows how it went.")


@webhooks.command("deliveries")
@endpoint
@click.option("--page", default=1, show_default=True, help="The page of the list.")
@as_json
def deliveries(endpoint: str, page: int, as_json: bool) -> None:
    """List the deliveries of the last 30 days, newest first."""
    answer = open_client().get(f"/webhooks/{endpoint}/deliveries", page=page)
    rows = [
        [row["id"], row["event"], row["state"], str(row["attempt"]), str(row["statusCode"] or "-"), row["error"] or ""]
        for row in answer["data"]
    ]
    _table(answer, as_json, ["ID", "EVENT", "STATE", "TRIES", "STATUS", "ERROR"], rows, "Nothing was sent.")


@webhooks.command("resend")
@endpoint
@delivery
@as_json
def resend(endpoint: str, delivery: str, as_json: bool) -> None:
    """Send a delivery again now, with the same ID."""
    made = _post(open_client(), f"/webhooks/{endpoint}/deliveries/{delivery}/resend")
    show_result(made, as_json, made["id"], "On its way; `deliveries` shows how it went.")


@webhooks.command("delete")
@endpoint
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(endpoint: str, yes: bool) -> None:
    """Delete an endpoint, its log and its waiting deliveries."""
    if not yes:
        click.confirm(f"Delete {endpoint} with what waits for it?", abort=True, err=True)
    open_client().call("DELETE", f"/webhooks/{endpoint}")
    click.echo(f"Deleted {endpoint}.", err=True)


def _post(client: ApiClient, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(client.call("POST", path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex}).json())


def _change(endpoint: str, body: dict[str, Any], as_json: bool) -> None:
    _show(open_client().call("PATCH", f"/webhooks/{endpoint}", json=body).json(), as_json)


def _show(values: dict[str, Any], as_json: bool) -> None:
    shown = {**values, "events": ", ".join(values["events"])}
    width = max(len(name) for name in shown)
    lines = [f"{name:<{width}}  {'-' if value is None else value}" for name, value in shown.items()]
    show_result(values, as_json, "\n".join(lines))


def _table(answer: dict[str, Any], as_json: bool, head: list[str], rows: list[list[str]], empty: str) -> None:
    if as_json:
        click.echo(json.dumps(answer))
    elif rows:
        print_columns([head, *rows])
    else:
        click.echo(empty, err=True)
