"""The commands that speak to the API, run as a person runs them."""

from click.testing import CliRunner, Result

from webapp.cli.main import main


def run(group: str, *words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, [group, *words], input=typed)
