"""Commands about the embedded stack: up, down, status, logs, doctor; and test, lint, bench of the checkout."""

import json
import os
from dataclasses import asdict

import click

from webapp.embedded.environment import load
from webapp.embedded.progress import Progress

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("up")
@click.option("--detach", is_flag=True, help="Return when the stack is ready; without it, stay and show the logs.")
@click.option("--hosts", type=int, metavar="N", help="A fleet of N hosts instead of the embedded one.")
@as_json
def up_command(detach: bool, hosts: int | None, as_json: bool) -> None:
    """Set up what is missing, migrate, start everything. A second call changes nothing."""
    from webapp.embedded import foreground, summary, up

    if hosts is not None:
        raise click.ClickException("A fleet (--hosts) is not built yet; ./dbhost up without it runs one embedded host.")
    stack = load(os.environ)
    started = up.up(stack, os.environ, Progress())
    click.echo(json.dumps(asdict(started)) if as_json else summary.text(started))
    if not detach:
        foreground.stay(stack)


commands = (up_command,)
