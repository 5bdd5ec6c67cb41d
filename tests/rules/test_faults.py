"""Rules that keep the service alive when its parts fail: nothing waits without an end, and what is taken comes back."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.rules.test_conventions import CHECKOUT

# What opens a way to another process, and the keyword by which it ends.
OPENERS = {
    "connect": "connect_timeout", "create_connection": "timeout", "SMTP": "timeout", "SMTP_SSL": "timeout",
    "HTTPConnection": "timeout", "HTTPSConnection": "timeout", "urlopen": "timeout", "Client": "timeout",
}  # fmt: skip
MODULES = {"psycopg", "socket", "smtplib", "http.client", "urllib.request", "httpx"}
# Its socket is connected under a deadline of its own before the connection gets it.
OWN_DEADLINE = {"webapp/gateways/outgoing.py"}
FILES = sorted((CHECKOUT / "webapp").rglob("*.py"))


@cache
def calls(file: Path) -> list[tuple[str, ast.Call]]:
    """Every call with its dotted name."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return [(ast.unparse(node.func), node) for node in nodes if isinstance(node, ast.Call)]


def place(file: Path, call: ast.Call) -> str:
    return f"{file.relative_to(CHECKOUT)}:{call.lineno}"


def without_end() -> list[str]:
    return [
        place(file, call)
        for file in FILES
        if str(file.relative_to(CHECKOUT)) not in OWN_DEADLINE
        for name, call in calls(file)
        if name.rpartition(".")[0] in MODULES
        and (wanted := OPENERS.get(name.rpartition(".")[2])) is not None
        and wanted not in {keyword.arg for keyword in call.keywords}
    ]


def test_every_way_to_another_process_has_a_timeout() -> None:
    assert without_end() == []


def test_psycopg_is_opened_where_its_answers_have_an_end() -> None:
    """One probe of a program that starts is let off; all others go by `webapp.db`, which bounds each answer."""
    opened = {str(file.relative_to(CHECKOUT)) for file in FILES for name, _ in calls(file) if name == "psycopg.connect"}
    assert opened <= {"webapp/embedded/doctor.py", "webapp/embedded/control.py"}


@pytest.mark.parametrize("taking", ["acquire"])
def test_what_is_taken_is_taken_by_a_block(taking: str) -> None:
    found = [place(file, call) for file in FILES for name, call in calls(file) if name.endswith(f".{taking}")]
    assert [where for where in found if not where.startswith("webapp/permits.py:")] == []


def test_mails_are_sent_by_the_courier_alone() -> None:
    sending = ("mail.send", "mail_gateway.send")
    senders = {str(file.relative_to(CHECKOUT)) for file in FILES for name, _ in calls(file) if name in sending}
    assert senders == {"webapp/courier.py", "webapp/cli/mail.py"}


def test_a_mail_is_queued_before_the_commit_of_what_it_tells() -> None:
    """In a route nothing is committed between the change and its mail."""
    late = []
    for file in [*(CHECKOUT / "webapp/web").glob("*.py"), *(CHECKOUT / "webapp/api").glob("*.py")]:
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                found = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
                posted = [call.lineno for call in found if ast.unparse(call.func) == "outbox.post"]
                committed = [call.lineno for call in found if ast.unparse(call.func).endswith(".commit")]
                late += [f"{file.name}:{line}" for line in posted if committed and max(committed) < line]
    assert late == []
