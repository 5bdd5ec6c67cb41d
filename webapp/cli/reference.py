"""The reference of all commands in docs/cli.md, made from the commands themselves: `python -m webapp.cli.reference`."""

from collections.abc import Iterator
from pathlib import Path

import click

from webapp.cli.main import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
MARK = "<!-- What follows is made by `python -m webapp.cli.reference`. -->\n"


def commands(group: click.Group = main, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A context of every command that does something and is not hidden, by name."""
    here = parent or click.Context(main, info_name="dbhost", color=False, terminal_width=100)
    for name in group.list_commands(here):
        found = group.get_command(here, name)
        if found is None or found.hidden:
            continue
        below = click.Context(found, info_name=name, parent=here)
        if isinstance(found, click.Group):
            yield from commands(found, below)
        else:
            yield below


def reference() -> str:
    """Every command's help, as Markdown."""
    return "\n".join(f"### {ctx.command_path}\n\n```text\n{ctx.get_help()}\n```\n" for ctx in commands())


def document() -> str:
    """docs/cli.md with its generated part made anew."""
    return DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0] + MARK + "\n" + reference()


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
