"""The allowlist of a database: the networks whose clients may connect. An empty one is open to all."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.orm import Session

from webapp.models import Database, Operation
from webapp.models.databases import Network
from webapp.services import databases, networks
from webapp.services.actors import Actor
from webapp.services.errors import Conflict

type Labels = dict[Network, str]


def current(database: Database) -> Labels:
    """The networks on the list with their labels, in order; the caller has checked permission `view`."""
    return {entry.cidr: entry.label for entry in database.allowlist}


def replace_allowlist(
    session: Session, actor: Actor, database: Database, entries: Sequence[tuple[str, str]]
) -> Operation:
    """Queue *entries* (CIDR and label) as the whole list; none opens the database to every network.

    When the list gets narrower, every open session is cut once. Raises ValidationFailed.
    """
    wanted = networks.check_entries(entries)
    return _queue(session, actor, database, lambda _held: wanted)


def add_network(session: Session, actor: Actor, database: Database, cidr: str, label: str) -> Operation:
    """Queue one more network. Raises ValidationFailed when it is none, is there already or is one too many."""
    network, named = networks.parse_network(cidr), networks.check_label(label)
    return _queue(
        session, actor, database,
        lambda held: networks.check_entries([*((str(each), held[each]) for each in held), (str(network), named)]),
    )  # fmt: skip


def remove_network(session: Session, actor: Actor, database: Database, cidr: str) -> Operation:
    """Queue the list without one network. Raises Conflict when it is not on it."""
    network = networks.parse_network(cidr)

    def without(held: Labels) -> Labels:
        if network not in held:
            raise Conflict(f"{network} is not on the allowlist.")
        return {each: label for each, label in held.items() if each != network}

    return _queue(session, actor, database, without)


def _queue(session: Session, actor: Actor, database: Database, change: Callable[[Labels], Labels]) -> Operation:
    """Apply *change* to the list as it is under the row's lock, so that two people's changes both count."""
    databases.lock(session, database)
    session.refresh(database, ["allowlist"])
    held = current(database)
    wanted = change(held)
    operation = databases.queue_change(
        session, actor, database, "database.allowlist",
        params={"previous_allowlist": {str(network): label for network, label in held.items()}},
        details=_difference(held, wanted),
    )  # fmt: skip
    database.replace_allowlist(wanted)
    return operation


def _difference(held: Mapping[Network, str], wanted: Mapping[Network, str]) -> dict[str, list[str]]:
    return {
        "added": [str(network) for network in wanted if network not in held],
        "removed": [str(network) for network in held if network not in wanted],
    }
