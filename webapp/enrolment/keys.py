"""Which SSH key of a host to pin: the one that is given, or one whose fingerprint is, or that a person compared."""

import sys
from collections.abc import Sequence

import click

from webapp.enrolment.errors import EnrolmentError
from webapp.gateways import ssh_keys
from webapp.services.host_keys import check_key, fingerprint


def choose(
    address: str, port: int, given: Sequence[str], fingerprints: Sequence[str], pinned: Sequence[str]
) -> list[str]:
    """The keys to pin, each shown by the host just now. Raises EnrolmentError when none of them is."""
    shown = ssh_keys.scan(address, port)
    if not shown:
        raise EnrolmentError(f"No SSH server answers at {address}, port {port}.")
    wanted = [check_key(key) for key in given]
    if wanted or fingerprints:
        return matching(shown, [key for key in shown if key in wanted or fingerprint(key) in fingerprints])
    if pinned:
        return matching(shown, [key for key in shown if key in pinned])
    return ask(address, shown)


def matching(shown: Sequence[str], found: list[str]) -> list[str]:
    """*found*, unless the host shows other keys than were asked for: then it may be another machine."""
    if not found:
        raise EnrolmentError(f"The host shows other keys than the one you named. It shows:\n{listed(shown)}")
    return found


def ask(address: str, shown: Sequence[str]) -> list[str]:
    """Let a person compare the fingerprint with what the provider's console shows; on a terminal alone."""
    best = next((key for key in shown if key.startswith("ssh-ed25519 ")), shown[0])
    click.echo(
        f"{address} shows this SSH key. Compare it with what the host's own console says\n{listed([best])}", err=True
    )
    if not sys.stdin.isatty():
        raise EnrolmentError(f"Nobody is here to compare it. If it is right: --yes-fingerprint {fingerprint(best)}")
    click.confirm("Is it the same?", abort=True, err=True)
    return [best]


def listed(keys: Sequence[str]) -> str:
    return "\n".join(f"  {fingerprint(key)} ({key.partition(' ')[0]})" for key in keys)
