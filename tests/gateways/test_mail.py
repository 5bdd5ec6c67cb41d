"""Mail against a real SMTP server, and the outbox of an installation without one."""

import stat
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.support.servers import free_ports
from webapp.config import Settings
from webapp.gateways import mail
from webapp.gateways.mail import Mail, MailError

MESSAGE = Mail("bob@example.com", "Grüße", "A link: https://db.example.com/x?token=secret\n")


class Received:
    """What the server took."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.users: list[bytes] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login)
        return AuthResult(success=data.password == b"p@ss")


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def port(received: Received) -> Iterator[int]:
    [port] = free_ports(1)
    server = Controller(
        received, hostname="127.0.0.1", port=port, authenticator=received.authenticate, auth_require_tls=False
    )
    server.start()
    yield port
    server.stop()


def config(tmp_path: Path, url: str | None) -> Settings:
    return Settings(home=tmp_path, public_host="db.example.com", SMTP_URL=url)  # type: ignore[call-arg]


def test_it_works(tmp_path: Path, port: int, received: Received) -> None:
    mail.send(MESSAGE, config(tmp_path, f"smtp://dbhost:p%40ss@127.0.0.1:{port}"))
    [message] = received.messages
    assert (message["To"], message["Subject"]) == ("bob@example.com", "Grüße")
    assert message["From"] == "dbhost@db.example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "token=secret" in message.get_content()
    assert received.users == [b"dbhost"]


def test_without_a_server_it_is_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    mail.send(MESSAGE, config(tmp_path, None))
    [path] = (tmp_path / "outbox").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert message_from_bytes(path.read_bytes(), policy=policy.default)["To"] == "bob@example.com"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_installation_without_a_name_has_a_sender(tmp_path: Path, host: str) -> None:
    mail.send(MESSAGE, Settings(home=tmp_path, public_host=host))
    [path] = (tmp_path / "outbox").iterdir()
    assert host in message_from_bytes(path.read_bytes(), policy=policy.default)["From"]


def test_beyond_this_machine_only_over_tls(tmp_path: Path, port: int, received: Received) -> None:
    """The server offers no TLS; by another name for it nothing is sent."""
    with pytest.raises(mail.FAILURES):
        mail.send(MESSAGE, config(tmp_path, f"smtp://127.0.0.2:{port}"))
    assert received.messages == []


@pytest.mark.parametrize("url", ["mail.example.com:25", "http://mail.example.com", "smtp://"])
def test_an_address_that_is_none_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(MailError, match="SMTP_URL must look like"):
        mail.check(config(tmp_path, url))


def test_nobody_puts_headers_into_a_message(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="linefeed"):
        mail.send(Mail("bob@example.com\nBcc: eve@example.com", "x", "y"), config(tmp_path, None))


def test_a_message_in_a_log_keeps_its_text() -> None:
    assert "secret" not in repr(MESSAGE)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("user@bücher.example", "user@xn--bcher-kva.example"),
        ("user@xn--bcher-kva.example", "user@xn--bcher-kva.example"),
        ("user@straße.example", "user@xn--strae-oqa.example"),
        ("user@例え.テスト", "user@xn--r8jz45g.xn--zckzah"),
        ("user@localhost", "user@localhost"),
        ("bob@example.com", "bob@example.com"),
    ],
)
def test_domains_go_out_as_ascii(received: Received, port: int, tmp_path: Path, address: str, written: str) -> None:
    """The server does not speak SMTPUTF8, as many do not."""
    mail.send(Mail(address, "Hello", "Text\n"), config(tmp_path, f"smtp://dbhost:p%40ss@127.0.0.1:{port}"))
    [message] = received.messages
    assert message["To"] == written
