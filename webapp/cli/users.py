"""`dbhost user`: the users of this installation."""

import json
import sys
from dataclasses import asdict

import click

from webapp.cli.session import as_json, control_session, show
from webapp.config import settings
from webapp.services import hosts, second_factors, users
from webapp.services.actors import SYSTEM, operator


@click.group()
def user() -> None:
    """Users of this installation."""


@user.command("create")
@click.argument("email")
@click.option("--admin", is_flag=True, help="Make the user a platform admin.")
@click.option("--plan", help="The plan: free, pro or business. By default the installation's.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@as_json
def user_create(email: str, admin: bool, plan: str | None, password_stdin: bool, as_json: bool) -> None:
    """Create a user and print a random password, unless --password-stdin is given."""
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
    """Remove a user's authenticator app, passkeys and recovery codes. Verify who is asking first."""
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
        known = settings()
        ports = (known.pgbouncer_port, known.pgbouncer_direct_port)
        hosts.ensure_host(session, SYSTEM, "local", known.public_host, ports[0], direct_port=ports[1])
        session.commit()
    click.echo(json.dumps(asdict(ensured)))
