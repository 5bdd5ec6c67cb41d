"""`dbhost completion`: what makes a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_DBHOST_COMPLETE"
SHELLS = ("bash", "fish", "zsh")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that makes your shell complete dbhost's commands and options.

    For bash, put this line into ~/.bashrc: eval "$(dbhost completion bash)"
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"There is no completion for {shell}.")
    click.echo(found(ctx.find_root().command, {}, "dbhost", VARIABLE).source())
