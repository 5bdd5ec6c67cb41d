"""Commands are imported one by one: each is where it is looked for, and what needs little is there at once."""

import subprocess
import sys

import click
import pytest

from webapp.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_where_it_is_looked_for(name: str) -> None:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    assert found.name == name


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(click.UsageError, match="nothing"):
        main.main(["nothing"], standalone_mode=False)


def test_looking_at_the_stack_needs_no_database_library() -> None:
    look = "import sys, webapp.cli.main, webapp.cli.embedded, webapp.embedded.status, webapp.embedded.down"
    told = subprocess.run(
        [sys.executable, "-c", f"{look}; print({{'sqlalchemy', 'alembic', 'pydantic'}} & set(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "set()\n"
