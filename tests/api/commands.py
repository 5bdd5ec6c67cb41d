"""The commands that speak to the API, run as a person runs them."""

from click.testing import CliRunner, Result

from webapp.cli import main  # noqa: F401  # puts the commands together
from webapp.cli_backups import backups
from webapp.cli_client import auth, databases


def run(group: str, *words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(
        {"auth": auth, "databases": databases, "backups": backups}[group], list(words), input=typed
    )
