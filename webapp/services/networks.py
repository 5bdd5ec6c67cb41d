"""The rule for networks: what one is, the one form it is kept in, and which lists keep nobody out."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from webapp.models.databases import Network
from webapp.services.errors import ValidationFailed

MAX_ENTRIES = 100
MAX_CIDR = 64
MAX_LABEL = 60
FORM = "Write an address such as 203.0.113.7 or a network such as 203.0.113.0/24 or 2001:db8::/32."
EVERYWHERE: dict[Network, str] = {IPv4Network("0.0.0.0/0"): "IPv4", IPv6Network("::/0"): "IPv6"}


def parse_network(text: str) -> Network:
    """The network that *text* names; an address alone is a network of one. Raises ValidationFailed.

    Host bits that are set are refused, not cut off: one of the two numbers was not meant.
    """
    given = text.strip()
    if "%" in given:
        raise _refused("cidr", f"{given[:MAX_CIDR]} has a zone, which means nothing to the host. {FORM}")
    try:
        return _plain(ip_network(given))
    except ValueError:
        raise _refused("cidr", _why_not(given)) from None


def check_cidr(text: str) -> str:
    """*text* in the form it is kept in. Raises ValidationFailed."""
    return str(parse_network(text))


def check_label(label: str) -> str:
    """Return the trimmed label (0 to 60 printable characters); raises ValidationFailed."""
    trimmed = label.strip()
    if len(trimmed) > MAX_LABEL or not trimmed.isprintable():
        raise _refused("label", f"Use up to {MAX_LABEL} characters, without line breaks or control characters.")
    return trimmed


def check_entries(entries: Sequence[tuple[str, str]]) -> dict[Network, str]:
    """Networks with their labels, in order, from *entries* of CIDR and label.

    Raises ValidationFailed naming each wrong entry by its place, such as `data.3.cidr`.
    """
    if len(entries) > MAX_ENTRIES:
        raise _refused("data", f"An allowlist holds at most {MAX_ENTRIES} networks.")
    found: dict[Network, str] = {}
    errors: dict[str, list[str]] = {}
    for number, (cidr, label) in enumerate(entries):
        try:
            network = parse_network(cidr)
            if network in found:
                raise _refused("cidr", f"{network} is on the list already.")
            found[network] = check_label(label)
        except ValidationFailed as error:
            errors |= {f"data.{number}.{field}": words for field, words in (error.errors or {}).items()}
    if errors:
        raise ValidationFailed("The allowlist has entries that are not allowed; see errors.", errors=errors)
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def warnings(networks: Iterable[Network]) -> list[str]:
    """What a person should know about a list that lets in everybody, though it does not look like that."""
    listed = list(networks)
    joined = {
        *collapse_addresses(network for network in listed if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in listed if isinstance(network, IPv6Network)),
    }
    return [
        f"The list lets every {name} address connect ({all_})." for all_, name in EVERYWHERE.items() if all_ in joined
    ]


def _why_not(given: str) -> str:
    try:
        network = ip_network(given, strict=False)
    except ValueError:
        return f"{given[:MAX_CIDR]} is not a network. {FORM}"
    return f"{given} is an address inside {network}. Write {network}, or the address alone."


def _plain(network: Network) -> Network:
    """IPv4 written as IPv6 (`::ffff:…`) becomes IPv4, which is what the host sees of such a client."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _refused(field: str, sentence: str) -> ValidationFailed:
    return ValidationFailed(sentence, errors={field: [sentence]})
