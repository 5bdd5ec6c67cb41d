"""The rule for networks and for the list of them."""

from ipaddress import ip_network

import pytest

from webapp.services import networks
from webapp.services.errors import ValidationFailed


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        (" 203.0.113.7 ", "203.0.113.7/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_gets_one_form(given: str, kept: str) -> None:
    assert networks.check_cidr(given) == kept


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("203.0.113.7/24", "Write 203.0.113.0/24"),
        ("2001:db8::1/32", "Write 2001:db8::/32"),
        ("fe80::%eth0/64", "zone"),
        ("", "not a network"),
        ("all", "not a network"),
        ("0.0.0.0/0 trust", "not a network"),
        ("10.0.0.0/33", "not a network"),
        ("10/8", "not a network"),
        ("example.com", "not a network"),
        ("1.2.3.4,5.6.7.8", "not a network"),
        ("\u0661.1.1.1", "not a network"),
        ("1.2.3.4\0", "not a network"),
        ("1" * 5000, "not a network"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(given: str, word: str) -> None:
    with pytest.raises(ValidationFailed, match=word) as refused:
        networks.parse_network(given)
    assert set(refused.value.errors or {}) == {"cidr"}
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("label", ["x" * 61, "two\nlines", "\x7f"])
def test_a_label_is_short_and_printable(label: str) -> None:
    assert networks.check_label(" Büro ") == "Büro"
    with pytest.raises(ValidationFailed):
        networks.check_label(label)


def test_every_wrong_entry_is_named() -> None:
    entries = [("10.0.0.0/8", ""), ("10.0.0.1/8", ""), ("::1", "x" * 61), ("10.0.0.0/255.0.0.0", "again")]
    with pytest.raises(ValidationFailed) as refused:
        networks.check_entries(entries)
    assert set(refused.value.errors or {}) == {"data.1.cidr", "data.2.label", "data.3.cidr"}


def test_a_list_is_ordered_and_holds_a_hundred() -> None:
    entries = [(f"10.0.{number}.0/24", "") for number in range(100)]
    found = networks.check_entries([("::1", "six"), *reversed(entries[1:])])
    assert next(iter(found)) == ip_network("10.0.1.0/24")
    assert list(found)[-1] == ip_network("::1/128")
    assert networks.check_entries(entries).keys() == {ip_network(cidr) for cidr, _ in entries}
    with pytest.raises(ValidationFailed) as refused:
        networks.check_entries([*entries, ("::1", "")])
    assert set(refused.value.errors or {}) == {"data"}


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([], []),
        (["10.0.0.0/8"], []),
        (["0.0.0.0/0"], ["IPv4"]),
        (["0.0.0.0/1", "128.0.0.0/1"], ["IPv4"]),
        (["10.0.0.0/8", "::/0", "0.0.0.0/0"], ["IPv4", "IPv6"]),
    ],
)
def test_a_list_that_keeps_nobody_out_is_warned_of(listed: list[str], words: list[str]) -> None:
    told = networks.warnings(ip_network(cidr) for cidr in listed)
    assert [word for sentence in told for word in ("IPv4", "IPv6") if word in sentence] == words
