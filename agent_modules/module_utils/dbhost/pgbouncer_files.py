# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's files about tenants, each rendered whole from the host's store: each listener has its own list of
databases; access lines and secrets are the same for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import doors, files
from .listeners import DIRECT, Listener
from .store import CLOSED, OPEN, Entry, Store

HBA, USERLIST = "hba.conf", "userlist.txt"
DATABASES = "databases*.ini"
_HEADER = "by DBHost's module pgbouncer_tenants; changes made here are lost"
# A line's names: the key of the INI's, the database and the role of the HBA's, the role of the userlist's.
_SUBJECTS = {
    DATABASES: re.compile(r"([^\s;#\[=]+)\s*="),
    HBA: re.compile(r"\s*[a-z]+\s+(?:\"([^\"]*)\"|([^\s\"#]+))\s+(?:\"([^\"]*)\"|([^\s\"#]+))"),
    USERLIST: re.compile(r"\s*\"([^\"]*)\""),
}


@dataclass(frozen=True)
class Backend:
    """Where PgBouncer finds PostgreSQL: loopback, as the local socket takes nobody but the provisioner."""

    host: str
    port: int


def render(store: Store, backend: Backend, listeners: Sequence[Listener]) -> dict[str, str]:
    """The files' contents by name. Names, sizes and networks were checked when they came into the store."""
    tenants = sorted(store.items())
    inside = [(name, entry) for name, entry in tenants if entry.door != CLOSED]
    return {
        **{
            listener.databases_file: _text(
                f";; {_HEADER}",
                ["[databases]", *(_database(*item, backend, listener) for item in inside if listener.knows(item[0]))],
            )
            for listener in listeners
        },
        HBA: _text(f"# {_HEADER}", [line for name, entry in inside for line in _hba(name, entry)]),
        USERLIST: _text(f";; {_HEADER}", [line for name, entry in tenants for line in _user(name, entry)]),
    }


def differing(folder: Path, contents: Mapping[str, str]) -> list[str]:
    """The names of those files in *folder* that are not as they should be."""
    return [name for name, text in contents.items() if not files.is_as_wanted(folder / name, text)]


def subjects(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """For each file in *folder* the names that its lines speak of, in order."""
    for name in (*sorted(path.name for path in folder.glob(DATABASES)), HBA, USERLIST):
        lines = _read(folder / name).splitlines()
        yield name, [subject for line in lines for subject in _subjects(name, line)]


def differing_names(folder: Path, contents: Mapping[str, str]) -> dict[str, list[str]]:
    """For each name that *contents* speak of, the files in *folder* whose lines for it are others."""
    found: dict[str, list[str]] = {}
    for file, text in contents.items():
        there, wanted = _lines_by_name(file, _read(folder / file)), _lines_by_name(file, text)
        for name in wanted:
            if there.get(name) != wanted[name]:
                found.setdefault(name, []).append(file)
    return found


def write(folder: Path, contents: Mapping[str, str]) -> None:
    """Write what differs; the order leaves no moment in which a reload would let in someone new too early."""
    for name in differing(folder, contents):
        files.write(folder / name, contents[name])


def _database(name: str, entry: Entry, backend: Backend, listener: Listener) -> str:
    """A pool is one user's: the second number keeps all users of a database within its share, members too."""
    size, mode = (entry.direct_pool_size, "session") if listener.kind == DIRECT else (entry.pool_size, entry.pool_mode)
    where = f"host={backend.host} port={backend.port} dbname={name}"
    return f"{name} = {where} pool_size={size} max_db_connections={size} pool_mode={mode}"


def _hba(name: str, entry: Entry) -> Iterator[str]:
    """`md5` still means SCRAM, as every secret in the userlist is one. The local line serves the salt probe, which
    must not depend on a tenant's networks: PgBouncer's socket is in a folder that only its own OS user can enter.
    While clients are cut it alone is there, so that the probe can tell when nobody new gets in and when all are out."""
    for role in (name, *(member.role for member in entry.members if member.verifier)):
        yield f'local "{name}" "{role}" md5'
        for network in doors.networks(entry) if entry.door == OPEN else ():
            yield f'hostssl "{name}" "{role}" {network} md5'


def _user(name: str, entry: Entry) -> Iterator[str]:
    secret = entry.verifier if entry.door == OPEN else entry.tombstone
    if secret:
        yield f'"{name}" "{secret}"'
    for member in entry.members:
        if known := member.verifier or member.tombstone:
            yield f'"{member.role}" "{known}"'


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _subjects(file: str, line: str) -> tuple[str, ...]:
    match = _SUBJECTS.get(file, _SUBJECTS[DATABASES]).match(line)
    return tuple(dict.fromkeys(part for part in match.groups() if part)) if match else ()


def _lines_by_name(file: str, text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        for name in dict.fromkeys(subject.partition(".")[0] for subject in _subjects(file, line)):
            found.setdefault(name, []).append(line)  # a member's line is one of the database's
    return found


def _text(header: str, lines: list[str]) -> str:
    return "\n".join([header, *lines]) + "\n"
