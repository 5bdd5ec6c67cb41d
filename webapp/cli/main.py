"""The `dbhost` command: the embedded stack, users and keys, and a client of the REST API."""

import json
import os
import sys
from dataclasses import asdict

import click

from webapp import database_admin
from webapp.cli import converge as cli_converge
from webapp.cli.allowlist import allowlist
from webapp.cli.api_keys import api_key
from webapp.cli.backup_schedule import protect, schedule
from webapp.cli.backups import backups, clone, deleted, undelete
from webapp.cli.client import auth, databases
from webapp.cli.embedded import commands as embedded_commands
from webapp.cli.hosts import ensure_hosts, host
from webapp.cli.members import invitations, members, transfer
from webapp.cli.moves import move
from webapp.cli.production import control_plane, release
from webapp.cli.session import as_json, control_session, show
from webapp.cli.webhooks import webhooks
from webapp.config import settings
from webapp.embedded.environment import load, use_embedded
from webapp.gateways import mail as mail_gateway
from webapp.services import audit, hosts, mails, second_factors, users
from webapp.services.actors import SYSTEM, operator


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="dbhost")
def main() -> None:
    """DBHost: managed PostgreSQL on your own servers."""


@main.group()
def user() -> None:
    """Users of this installation."""


@user.command("create")
@click.argument("email")
@click.option("--admin", is_flag=True, help="A platform admin.")
@click.option("--plan", help="free, pro or business; by default the installation's plan.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@as_json
def user_create(email: str, admin: bool, plan: str | None, password_stdin: bool, as_json: bool) -> None:
    """Add a user. Without --password-stdin a random password is made and printed once."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else users.random_password()
    with control_session() as session:
        created = users.create_user(session, operator(), email, password, plan=plan, admin=admin)
        session.commit()
        values = {"id": str(created.id), "email": created.email, "plan": created.plan, "role": created.platform_role}
    told = {} if password_stdin else {"password": password}
    lines = f"Created {created.email} (plan {created.plan})."
    show({**values, **told}, lines if password_stdin else f"{lines}\nPassword (shown once): {password}", as_json)


@user.command("reset-second-factor")
@click.argument("email")
def user_reset_second_factor(email: str) -> None:
    """Take the authenticator app, passkeys and recovery codes of EMAIL away: make sure first who asks for it."""
    with control_session() as session:
        found = users.by_email(session, email)
        if found is None:
            raise click.ClickException(f"There is no user {email}.")
        second_factors.remove_all(session, SYSTEM, found)
        session.commit()
    click.echo(f"{email} signs in by password alone until a second factor is added again.")


@user.command("ensure-admin", hidden=True)
def user_ensure_admin() -> None:
    """Make the first admin and the embedded host's row; called by `up`."""
    with control_session() as session:
        given = settings().admin_password
        ensured = users.ensure_admin(
            session, SYSTEM, settings().admin_email, given.get_secret_value() if given else None
        )
        hosts.ensure_host(session, SYSTEM, "local", settings().public_host, settings().pgbouncer_port)
        session.commit()
    click.echo(json.dumps(asdict(ensured)))


@main.group()
def mail() -> None:
    """Mail of this installation."""


@mail.command("test")
@click.argument("email")
def mail_test(email: str) -> None:
    """Send a test message to EMAIL; without SMTP_URL it goes to DBHOST_HOME/outbox."""
    use_embedded()
    try:
        mail_gateway.check(settings())
        mail_gateway.send(mails.test(email), settings())
    except (mail_gateway.MailError, *mail_gateway.FAILURES) as error:
        raise click.ClickException(f"The message was not sent: {error}") from None
    click.echo("Sent." if settings().smtp_url else f"Written to {settings().home / 'outbox'}: SMTP_URL is not set.")


@main.group()
def db() -> None:
    """The control database."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the control database's schema up to date."""
    use_embedded()
    database_admin.upgrade(settings().database_url.get_secret_value())


@main.command("converge")
@click.option("--host", default="local", show_default=True, help="The host's name in the inventory.")
@click.option("--check", is_flag=True, help="Change nothing; show what drifted.")
def converge_command(host: str, check: bool) -> None:
    """Make every database on a host match the desired state. Ends with Ansible's recap."""
    with control_session() as session:
        databases, by_ssh = cli_converge.wanted(session, host), cli_converge.by_ssh(session, host)
        if not check:
            audit.record(session, operator(), "host.converge", host, details={"databases": len(databases)})
            session.commit()
    code = cli_converge.converge(load(os.environ), host, by_ssh, databases, check=check)
    if not check:
        with control_session() as session:
            audit.record(session, operator(), "host.converged", host, details={"exit_code": code})
            session.commit()
    raise click.exceptions.Exit(code)


for command in (allowlist, clone, deleted, members, move, protect, transfer, undelete):
    databases.add_command(command)
backups.add_command(schedule)
for command in (
    *embedded_commands,
    api_key,
    auth,
    backups,
    databases,
    invitations,
    host,
    ensure_hosts,
    release,
    control_plane,
    webhooks,
):
    main.add_command(command)
