"""Commands about the embedded stack: up, down, status, logs, doctor; and test, lint, bench of the checkout."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import click

from webapp.embedded.environment import CHECKOUT, load
from webapp.embedded.progress import Progress

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("up")
@click.option("--detach", is_flag=True, help="Return when the stack is ready. By default, stay and show the logs.")
@click.option(
    "--hosts",
    type=click.IntRange(1, 99),
    metavar="N",
    help="Boot N hosts on this machine and place databases there.",
)
@as_json
def up_command(detach: bool, hosts: int | None, as_json: bool) -> None:
    """Install what is missing, migrate and start the stack. Running it again is safe."""
    from webapp.embedded import foreground, summary, up

    stack = load(os.environ)
    started = up.up(stack, os.environ, Progress(), hosts or 0)
    click.echo(json.dumps(asdict(started)) if as_json else summary.text(started))
    if not detach:
        foreground.stay(stack)


@click.command("down")
@click.option("--purge", is_flag=True, help="Also delete DBHOST_HOME with all databases in it.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def down_command(purge: bool, yes: bool) -> None:
    """Stop the stack on this machine."""
    from webapp.embedded import down

    stack = load(os.environ)
    if not purge:
        down.down(stack, Progress())
        return
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Remove {stack.home} with every database in it?", abort=True, err=True)
    down.purge(stack, Progress())


@click.command("status")
@as_json
def status_command(as_json: bool) -> None:
    """Show addresses and processes. Exits with 3 when something is not running."""
    from webapp.embedded import status

    told = status.status(load(os.environ))
    click.echo(json.dumps(told) if as_json else status.text(told))
    if not as_json and not status.is_up(told):
        raise click.exceptions.Exit(3)


@click.command("logs")
@click.argument("name", required=False)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines until Ctrl-C.")
def logs_command(name: str | None, follow: bool) -> None:
    """Show the end of the log called NAME, or of all: postgres, pgbouncer, web, worker, supervisord."""
    from webapp.embedded import logs

    stack = load(os.environ)
    logs.show(stack, name)
    if follow:
        logs.follow_until_interrupted(stack, name)


@click.command("doctor")
@as_json
def doctor_command(as_json: bool) -> None:
    """Check everything the stack needs. Exits with 1 when something is wrong."""
    from webapp.embedded import doctor

    findings = list(doctor.examine(load(os.environ)))
    click.echo(json.dumps([asdict(finding) for finding in findings]) if as_json else doctor.text(findings))
    if not all(finding.well for finding in findings):
        raise click.exceptions.Exit(1)


@click.command("test")
@click.argument("tier", type=click.Choice(["fast", "all", "scenarios", "faults"]), default="all")
@click.option("--operations", default=60, show_default=True, help="How many changes `faults` makes.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(20261130,), help="Of `faults`; may be repeated.")
def test_command(tier: str, operations: int, seeds: tuple[int, ...]) -> None:
    """Run the checks and the tests; `fast` leaves out browsers and whole stacks.

    `faults` makes random changes by many clients while processes are killed and stopped and files are cut.
    """
    from webapp import devtools

    if not devtools.test(tier, operations, seeds):
        raise click.exceptions.Exit(1)


@click.command("lint")
def lint_command() -> None:
    """Run the style, type, import and security checks."""
    from webapp import devtools

    if not devtools.lint():
        raise click.exceptions.Exit(1)


@click.command("bench")
@click.argument("names", nargs=-1)
@as_json
def bench_command(names: tuple[str, ...], as_json: bool) -> None:
    """Run all benchmarks, or those in NAMES, on a temporary stack."""
    command = [sys.executable, "-m", "tests.bench", *names, *(["--json"] if as_json else [])]
    raise click.exceptions.Exit(subprocess.run(command, cwd=CHECKOUT, check=False).returncode)


commands = (
    up_command,
    down_command,
    status_command,
    logs_command,
    doctor_command,
    test_command,
    lint_command,
    bench_command,
)
