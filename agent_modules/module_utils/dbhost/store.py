# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's own memory of what its tenants should be: PgBouncer's files are rendered from it, and an older
generation than the one it holds is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from . import files
from .errors import TenantError
from .tenants import TenantDatabase

_VERSION = 1
OPEN, CUTTING, CLOSED = "open", "cutting", "closed"


@dataclass(frozen=True)
class MemberEntry:
    """One member role as PgBouncer should know it: by its verifier, or by a tombstone once it is shut out."""

    role: str
    verifier: str | None = field(default=None, repr=False)
    tombstone: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Entry:
    """One tenant. *door* says whether its clients get in; *cutting*: nobody new, those inside may not be out yet."""

    generation: int = 0
    door: str = CLOSED
    verifier: str | None = field(default=None, repr=False)
    tombstone: str | None = field(default=None, repr=False)
    pool_size: int = 20
    direct_pool_size: int = 10
    pool_mode: str = "transaction"
    networks: tuple[str, ...] = ()
    disconnected: int | None = None
    members: tuple[MemberEntry, ...] = ()


Store = dict[str, Entry]


def load(folder: Path) -> Store:
    """What the host remembers; empty on a new host. Raises TenantError if the file is not what *save* wrote."""
    try:
        held = json.loads((folder / "tenants.json").read_text(encoding="utf-8"))
        return {name: _entry(entry) for name, entry in held["tenants"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TenantError("store_damaged", "The host's tenants.json cannot be read; it is left as it is.") from None


def _entry(held: dict[str, Any]) -> Entry:
    members = tuple(MemberEntry(**member) for member in held.get("members", ()))
    return Entry(**{**held, "networks": tuple(held["networks"]), "members": members})


def save(folder: Path, store: Store) -> None:
    """Remember *store*; nothing is written if it is remembered already."""
    held = {"version": _VERSION, "tenants": {name: asdict(store[name]) for name in sorted(store)}}
    text = json.dumps(held, indent=1) + "\n"
    path = folder / "tenants.json"
    if not files.is_as_wanted(path, text):
        files.write(path, text)


def require_current(store: Store, wanted: TenantDatabase) -> None:
    """Raise TenantError if the host has begun with a newer generation of this database."""
    entry = store.get(wanted.name)
    if entry and wanted.generation is not None and wanted.generation < entry.generation:
        raise TenantError("stale_generation", "The host has a newer desired state of this database.")


def accepted(store: Store, wanted: TenantDatabase) -> Entry:
    """The entry of *wanted* with its generation noted, so that an older one is refused from now on."""
    entry = store.get(wanted.name, Entry())
    return entry if wanted.generation is None else replace(entry, generation=wanted.generation)
