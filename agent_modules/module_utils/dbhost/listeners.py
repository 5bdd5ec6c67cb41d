# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's PgBouncer processes, its listeners: which databases each serves, and how to reach and to reload it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import names, scram

SERVES = ("all", "tenants")
POOLED, DIRECT = "pooled", "direct"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "ini": {"type": "str", "required": True},
    "databases_file": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "kind": {"type": "str", "choices": [POOLED, DIRECT], "default": POOLED},
    "serves": {"type": "str", "choices": list(SERVES), "default": "all"},
    "pidfile": {"type": "path"},
    "reload_command": {"type": "list", "elements": "str", "default": []},
}


@dataclass(frozen=True)
class Listener:
    """One PgBouncer process. *databases_file* is its own; access lines and secrets are the same for all of them.

    Its *kind* says what a client gets: a share of pooled server connections, or one that is its own for the session.
    """

    name: str
    ini: str
    databases_file: str
    login: scram.Endpoint
    pidfile: Path | None = None
    reload_command: tuple[str, ...] = ()
    serves: str = "all"
    kind: str = POOLED

    def knows(self, database: str) -> bool:
        """Whether clients of *database* may come in here."""
        return self.serves == "all" or not names.is_reserved(database)


def of_options(options: Mapping[str, Any]) -> tuple[Listener, ...]:
    """The listeners that a module's *options* describe; without a list the one at `port`.

    Of a list only the first has to be there: a host that was set up by an older release runs no other.
    """
    alone = {
        "name": "pooled",
        "ini": "pgbouncer.ini",
        "databases_file": "databases.ini",
        **{key: options.get(key) for key in ("port", "pidfile", "reload_command")},
    }
    listed = [_listener(item, options["socket_dir"]) for item in options.get("listeners") or [alone]]
    folder = Path(options["config_dir"])
    return (listed[0], *(listener for listener in listed[1:] if (folder / listener.ini).exists()))


def missing(options: Mapping[str, Any]) -> list[str]:
    """The names of the listeners in *options* that this host does not run yet."""
    there = {listener.name for listener in of_options(options)}
    return [item["name"] for item in options.get("listeners") or [] if item["name"] not in there]


def _listener(item: Mapping[str, Any], socket_dir: str | None) -> Listener:
    socket, port = f"{socket_dir}/.s.PGSQL.{item['port']}", item["port"]
    return Listener(
        name=item["name"],
        ini=item["ini"],
        databases_file=item["databases_file"],
        login=scram.Endpoint(socket) if socket_dir else scram.Endpoint("127.0.0.1", port, tls=True),
        pidfile=Path(item["pidfile"]) if item.get("pidfile") else None,
        reload_command=tuple(item.get("reload_command") or ()),
        serves=item.get("serves") or "all",
        kind=item.get("kind") or POOLED,
    )
