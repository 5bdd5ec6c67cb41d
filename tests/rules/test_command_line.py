"""Rules of the command line: its reference is current, what reads has --json, and help is whole sentences."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from webapp.cli import api_client
from webapp.cli.completion import SHELLS
from webapp.cli.main import main
from webapp.cli.reference import DOCUMENT, commands, document

ALL = {ctx.command_path: ctx.command for ctx in commands()}
# They change something and print a sentence, are run for their exit code, or hand on another program's output.
WITHOUT_JSON = {
    "auth login", "auth logout", "completion", "converge", "databases connect", "databases psql",
    "databases members leave", "databases members remove", "databases transfer withdraw", "db upgrade", "down",
    "host activate", "host add", "host drain", "host offline", "host rekey", "host remove", "invitations decline",
    "lint", "logs", "mail test", "release", "test", "user reset-second-factor", "webhooks delete",
}  # fmt: skip


def test_the_reference_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run `python -m webapp.cli.reference`"


def test_every_command_that_reads_has_json() -> None:
    without = {path for path, command in ALL.items() if not any("--json" in one.opts for one in command.params)}
    assert without == {f"dbhost {name}" for name in WITHOUT_JSON}


@pytest.mark.parametrize("path", ALL)
def test_help_is_whole_sentences(path: str) -> None:
    words = [ALL[path].help or "", *(one.help or "" for one in ALL[path].params if isinstance(one, click.Option))]
    assert [text for text in words if not text[:1].isupper() or not text.rstrip().endswith((".", ")", '"'))] == []


def test_every_exit_code_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    codes = {0, 1, 2, *api_client.EXIT_CODES.values()}
    assert [code for code in sorted(codes) if f"\n| {code} |" not in text] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0, result.output
    assert "_DBHOST_COMPLETE" in result.stdout


def test_a_shell_asks_for_completions() -> None:
    """As the script for bash asks: the words so far, and which of them is being typed."""
    asked = {"_DBHOST_COMPLETE": "bash_complete", "COMP_WORDS": "dbhost databases con", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "webapp.cli"], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    assert done.stdout == "plain,connect\n"


def test_what_is_kept_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = api_client.store(api_client.Login("https://dbhost.example.com", "dbh_secret"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
