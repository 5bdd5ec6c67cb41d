# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Start the programs of dumps as their OS user: at once by root and by that user itself, else by its socket."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import dump_programs, session_options
from .errors import TenantError
from .postgres import Cluster


class Running(Protocol):
    """A program under way."""

    def wait(self) -> int:
        """Its exit status."""

    def kill(self) -> None:
        """End it, if it has not ended."""


@dataclass(frozen=True)
class DumpUser:
    """The OS user of dumps on this host, its programs, and the cluster in which it logs in as tenants."""

    name: str
    bin_dir: str
    cluster: Cluster
    socket: str | None = None
    major: int = 16
    lock_wait_s: int = 30
    settings: Mapping[str, str] = field(default_factory=dict)

    def start(self, program: str, arguments: Sequence[str], tenant: str, database: str, **streams: int) -> Running:
        """Start *program*, logged in as *tenant*. *streams* are stdin, stdout and stderr, which the caller closes."""
        here = os.geteuid() == 0 or _me() == self.name
        return (self._here if here else self._by_socket)(program, arguments, tenant, database, **streams)

    def _settings(self, role: str, database: str) -> dict[str, str]:
        own = {"lock_timeout": f"{self.lock_wait_s}s", **self.settings}
        return {
            "PGHOST": self.cluster.socket_dir,
            "PGPORT": str(self.cluster.port),
            "PGUSER": role,
            "PGDATABASE": database,
            "PGAPPNAME": "dbhost dump",
            "PGOPTIONS": session_options.of_login(self.cluster, self.major, role, database, own),
        }

    def _here(self, program: str, arguments: Sequence[str], tenant: str, database: str, **streams: int) -> Running:
        settings = self._settings(tenant, database)
        switch: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(self.name)
            switch = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        try:
            process = dump_programs.start(self.bin_dir, program, arguments, settings, **streams, **switch)
        except (OSError, ValueError):
            raise _not_started(program) from None
        return _Here(process)

    def _by_socket(self, program: str, arguments: Sequence[str], tenant: str, database: str, **streams: int) -> Running:
        settings = self._settings(tenant, database)
        asked = {"program": program, "arguments": list(arguments), "settings": settings}
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.socket or "")
            line = json.dumps(asked).encode() + b"\n"
            sent = socket.send_fds(connection, [line], [streams["stdin"], streams["stdout"], streams["stderr"]])
            connection.sendall(line[sent:])
        except OSError:
            connection.close()
            raise _not_started(program) from None
        return _ByAnother(connection)


class _Here:
    def __init__(self, process: Any) -> None:
        self._process = process

    def wait(self) -> int:
        return int(self._process.wait())

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class _ByAnother:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def wait(self) -> int:
        try:
            with self._connection as connection:
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
            return int(json.loads(answer)["status"])
        except (OSError, ValueError, KeyError, TypeError):  # refused or cut off: it says nothing more
            return 127

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _not_started(program: str) -> TenantError:
    return TenantError(
        "dump_user_unavailable",
        f"{program} cannot be started as the OS user of dumps; playbooks/host.yml sets it up.",
        retryable=True,
        step=f"Start {program}",
    )
