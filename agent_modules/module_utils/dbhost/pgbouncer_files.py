# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's three files about tenants, each rendered whole from the host's store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import doors, files
from .store import OPEN, Entry, Store

DATABASES, HBA, USERLIST = "databases.ini", "hba.conf", "userlist.txt"
_HEADER = "by DBHost's module pgbouncer_tenants; changes made here are lost"


@dataclass(frozen=True)
class Backend:
    """Where PgBouncer finds PostgreSQL: loopback, as the local socket takes nobody but the provisioner."""

    host: str
    port: int


def render(store: Store, backend: Backend) -> dict[str, str]:
    """The files' contents by name. Names, sizes and networks were checked when they came into the store."""
    tenants = sorted(store.items())
    opened = [(name, entry) for name, entry in tenants if entry.door == OPEN]
    return {
        DATABASES: _text(
            f";; {_HEADER}", ["[databases]", *(_database(name, entry, backend) for name, entry in opened)]
        ),
        HBA: _text(f"# {_HEADER}", [line for name, entry in opened for line in _hba(name, entry)]),
        USERLIST: _text(f";; {_HEADER}", [line for name, entry in tenants for line in _user(name, entry)]),
    }


def differing(folder: Path, contents: Mapping[str, str]) -> list[str]:
    """The names of those files in *folder* that are not as they should be."""
    return [name for name, text in contents.items() if not files.is_as_wanted(folder / name, text)]


def write(folder: Path, contents: Mapping[str, str]) -> None:
    """Write what differs; the order leaves no moment in which a reload would let in someone new too early."""
    for name in differing(folder, contents):
        files.write(folder / name, contents[name])


def _database(name: str, entry: Entry, backend: Backend) -> str:
    where = f"host={backend.host} port={backend.port} dbname={name}"
    return f"{name} = {where} pool_size={entry.pool_size} pool_mode={entry.pool_mode}"


def _hba(name: str, entry: Entry) -> Iterator[str]:
    """`md5` still means SCRAM, as every secret in the userlist is one. The local line serves the salt probe, which
    must not depend on a tenant's networks: PgBouncer's socket is in a folder that only its own OS user can enter."""
    yield f'local "{name}" "{name}" md5'
    for network in doors.networks(entry):
        yield f'hostssl "{name}" "{name}" {network} md5'


def _user(name: str, entry: Entry) -> Iterator[str]:
    secret = entry.verifier if entry.door == OPEN else entry.tombstone
    if secret:
        yield f'"{name}" "{secret}"'


def _text(header: str, lines: list[str]) -> str:
    return "\n".join([header, *lines]) + "\n"
