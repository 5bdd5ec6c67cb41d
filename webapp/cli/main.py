"""The `dbhost` command: the embedded stack, users and keys, and a client of the REST API."""

from importlib import import_module
from typing import override

import click

# Where each command is. What it needs is imported when it is called: everything together takes a second.
COMMANDS = {
    "api-key": "api_keys:api_key",
    "auth": "client:auth",
    "backups": "backups:backups",
    "bench": "embedded:bench_command",
    "completion": "completion:completion",
    "control-plane": "production:control_plane",
    "converge": "converge:converge_command",
    "databases": "databases:databases",
    "db": "db:db",
    "doctor": "embedded:doctor_command",
    "down": "embedded:down_command",
    "ensure-hosts": "hosts:ensure_hosts",
    "host": "hosts:host",
    "invitations": "members:invitations",
    "lint": "embedded:lint_command",
    "logs": "embedded:logs_command",
    "mail": "mail:mail",
    "release": "production:release",
    "status": "embedded:status_command",
    "test": "embedded:test_command",
    "up": "embedded:up_command",
    "user": "users:user",
    "webhooks": "webhooks:webhooks",
}


class Commands(click.Group):
    """A group whose commands are imported one by one."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        found: click.Command = getattr(import_module(f"webapp.cli.{module}"), name)
        return found


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="dbhost")
def main() -> None:
    """DBHost: managed PostgreSQL on your own servers."""
