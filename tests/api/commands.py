"""The commands that speak to the API, run as a person runs them."""

from click.testing import CliRunner, Result

from webapp.cli_client import auth, databases


def run(group: str, *words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke({"auth": auth, "databases": databases}[group], list(words), input=typed)
