"""A POST to where a user says: never inside, never elsewhere than resolved, never longer than allowed."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import Receiver, receiving
from tests.support.servers import free_ports, make_certificate
from webapp.gateways import addresses, outgoing
from webapp.gateways.addresses import AddressRefused

HEADERS = {"Content-Type": "application/json"}
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"]
INSIDE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0",  # noqa: S104
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1",
    "2001:0:4136:e378::1", "2001:db8::1",
]  # fmt: skip
REFUSED = [
    "http://example.com/", "ftp://example.com/", "//example.com/", "example.com", "https://", "https:///hook",
    "https://user@example.com/", "https://user:secret@example.com/", "https://example.com/#part",
    "https://example.com:80/", "https://example.com:6432/", "https://example.com:99999/", "https://example.com:x/",
    "https://exa mple.com/", "https://example.com/\r\nX: y", "https://example.com\\@10.0.0.1/", "https://exämple.com/",
    "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest",
    "https://-a.example.com/", "https://a..example.com/", "https://example.com/" + "x" * 2000, "https://[::1",
]  # fmt: skip
# Which forms a resolver takes for 127.0.0.1 differs; none of them may get through.
ODD_FORMS = ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "localhost.", "ip6-localhost"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def answers(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """Let the DNS answer each question with the next of *rounds*; the names that were asked for."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        found = rounds[min(len(asked), len(rounds)) - 1]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_breaks_a_rule_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        addresses.check(url, allow_private=False)


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com:8443/a?b=c", "https://8.8.8.8/"])
def test_one_that_keeps_them_is_taken(url: str) -> None:
    assert addresses.check(url, allow_private=False).scheme == "https"


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        addresses.require_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_one_is_not(address: str) -> None:
    addresses.require_public(address)


def test_an_address_of_this_machine_is_its_own() -> None:
    assert addresses.is_own(addresses.ipaddress.ip_address("127.0.0.1"))
    assert not addresses.is_own(addresses.ipaddress.ip_address("8.8.8.8"))


def test_what_leads_to_this_installation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ["8.8.8.8"])
    with pytest.raises(AddressRefused, match="this installation"):
        addresses.resolve("hook.example.com", 443, allow_private=False, own=("panel.example.net",))


@pytest.mark.parametrize("host", ODD_FORMS)
def test_no_spelling_of_this_machine_gets_through(host: str, receiver: Receiver) -> None:
    answer = outgoing.post(f"https://{host}:8443/", b"{}", HEADERS)
    assert answer.status_code is None
    assert answer.error
    assert receiver.got == []


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    answer = outgoing.post("https://hook.example.com/", b"{}", HEADERS)
    assert answer.error == "The name leads to an address that is not on the public internet."


def test_the_address_that_was_checked_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    asked = answers(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
    answer = outgoing.post(f"http://hook.example.com:{receiver.port}/a?b=c", b"{}", HEADERS, allow_private=True)
    assert (answer.status_code, asked) == (204, ["hook.example.com"])
    assert receiver.got[0].path == "/a?b=c"
    assert receiver.got[0].headers["host"] == f"hook.example.com:{receiver.port}"


def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.extra = 302, {"Location": receiver.url("/elsewhere")}
    answer = outgoing.post(receiver.url(), b"{}", HEADERS, allow_private=True)
    assert (answer.status_code, answer.is_success, answer.error) == (302, False, "Answered 302.")
    assert [got.path for got in receiver.got] == ["/hook"]


def test_what_was_answered_is_kept_short_and_without_secrets(receiver: Receiver) -> None:
    receiver.status = 500
    receiver.text = (
        b"whsec_abcdef v1,c2lnbmF0dXJlc2lnbmF0dXJl postgres://u:pw@h/db dbh_0123456789 \x00\x1b[1m" + b"y" * 9000
    )
    answer = outgoing.post(receiver.url(), b"{}", HEADERS, allow_private=True)
    assert len(answer.body) <= outgoing.KEPT_CHARACTERS
    assert answer.body.startswith("… … postgres://…@h/db … ")
    assert answer.body.replace("\n", " ").isprintable()


@pytest.mark.parametrize("drips", [True, False])
def test_time_is_over_however_it_is_spent(receiver: Receiver, drips: bool) -> None:
    receiver.drips = drips
    if not drips:
        receiver.hold.clear()
    started = time.monotonic()
    answer = outgoing.post(receiver.url(), b"{}", HEADERS, allow_private=True, timeout_s=1.0)
    receiver.hold.set()
    assert answer.error == "No whole answer in time."
    assert 1.0 <= time.monotonic() - started < 30


def test_nobody_there(receiver: Receiver) -> None:
    [port] = free_ports(1)
    answer = outgoing.post(f"http://127.0.0.1:{port}/", b"{}", HEADERS, allow_private=True)
    assert answer.error == "The connection was refused."
    assert answer.status_code is None


def test_the_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    make_certificate(certificate, key)
    with receiving(certificate, key) as receiver:
        unknown = outgoing.post(receiver.url(scheme="https"), b"{}", HEADERS, allow_private=True)
        assert unknown.error is not None
        assert unknown.error.startswith("The certificate was not accepted")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert outgoing.post(receiver.url(scheme="https"), b"{}", HEADERS, allow_private=True).status_code == 204
        answers(monkeypatch, ["127.0.0.1"])
        other = f"https://hook.example.com:{receiver.port}/"
        mismatch = outgoing.post(other, b"{}", HEADERS, allow_private=True)
        assert mismatch.error is not None
        assert "hook.example.com" in mismatch.error
        assert len(receiver.got) == 1
