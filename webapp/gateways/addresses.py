"""Which places on the internet a request that a user asked for may go to: none of ours, none of a private network."""

import ipaddress
import re
import socket
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

PORTS = (443, 8443)
MAX_LENGTH = 2000
VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")

# Public by their form, and a way to addresses that are not: 6to4, Teredo, NAT64, IPv4 within IPv6; site-local ones.
TUNNELS = [
    ipaddress.ip_network(network)
    for network in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0/96", "fec0::/10")
]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Exception):
    """The rule that the address breaks, as a sentence for its owner."""


def check(url: str, *, allow_private: bool) -> SplitResult:
    """*url* in its parts. Raises AddressRefused for what can be told without asking the DNS."""
    if len(url) > MAX_LENGTH or not VISIBLE_ASCII.fullmatch(url) or "\\" in url:
        raise AddressRefused(f"Use at most {MAX_LENGTH} visible ASCII characters, without a backslash.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("This is no address.") from None
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise AddressRefused("Use an https address.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("An address must not hold a user, a password or a fragment.")
    if not allow_private and port not in (None, *PORTS):
        raise AddressRefused("Use port 443 or 8443.")
    _check_host(parts.hostname or "", allow_private=allow_private)
    return parts


def resolve(host: str, port: int, *, allow_private: bool, own: tuple[str, ...] = ()) -> list[str]:
    """The addresses of *host*, asked for once: whoever connects takes these and asks no more.

    Raises AddressRefused when one of them may not be reached; *own* names are ours. OSError when there is none.
    """
    found = _lookup(host, port)
    if not allow_private:
        ours = {address for name in own for address in _known(name)}
        for address in found:
            require_public(address, ours)
    return found


def require_public(text: str, ours: frozenset[str] | set[str] = frozenset()) -> None:
    """Raises AddressRefused unless *text* is an address of the public internet, and not one of this machine."""
    address = ipaddress.ip_address(text.partition("%")[0])
    inside = any(address.version == network.version and address in network for network in TUNNELS)
    if inside or not address.is_global or address.is_multicast or address.is_reserved:
        raise AddressRefused("The name leads to an address that is not on the public internet.")
    if text in ours or is_own(address):
        raise AddressRefused("The name leads back to this installation.")


def is_own(address: Address) -> bool:
    """Whether this machine has *address*: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


def _check_host(host: str, *, allow_private: bool) -> None:
    try:
        literal = str(ipaddress.ip_address(host))
    except ValueError:
        if not HOST_NAME.fullmatch(host):
            raise AddressRefused("The address has no valid host name.") from None
        return
    if not allow_private:
        require_public(literal)


def _lookup(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _known(name: str) -> list[str]:
    """The addresses of a name of ours; none when the DNS does not answer."""
    with suppress(OSError):
        return _lookup(name, 0)
    return []
