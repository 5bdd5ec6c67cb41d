# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's console, for reading: its own OS user's login over its 0700 socket, which SECURITY.md allows."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import time
from calendar import timegm
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from . import os_user

Topic = Literal["POOLS", "CLIENTS", "STATS", "CONFIG"]
Rows = list[dict[str, Any]]
TOPICS: tuple[Topic, ...] = ("POOLS", "CLIENTS", "STATS", "CONFIG")

_TIMEOUT_S = 5


def acting_as_owner(socket_dir: str) -> AbstractContextManager[None]:
    """Inside the block root is PgBouncer's OS user, which the folder belongs to."""
    if os.geteuid() != 0:
        return os_user.acting_as("")
    return os_user.acting_as(pwd.getpwuid(Path(socket_dir).stat().st_uid).pw_name)


class Console:
    """An open console. It can do more than it is asked to here: only SHOW is ever sent."""

    def __init__(self, socket_dir: str, port: int) -> None:
        # PgBouncer knows its user by the socket alone; it wants no password, and no other process can be meant.
        self._connection = psycopg.connect(
            host=socket_dir,
            port=port,
            user="pgbouncer",
            dbname="pgbouncer",
            application_name="dbhost",
            connect_timeout=_TIMEOUT_S,
            autocommit=True,
            row_factory=dict_row,
        )

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def show(self, topic: Topic) -> Rows:
        """The rows of one SHOW. Without parameters psycopg sends a simple query, all that the console understands."""
        return self._connection.execute(sql.SQL("SHOW {}").format(sql.SQL(topic))).fetchall()

    def version(self) -> str:
        """PgBouncer's version."""
        said = self._connection.info.parameter_status("server_version") or ""
        return said.partition("/")[0]


def figures(socket_dir: str, ports: Sequence[int], command: Sequence[str]) -> dict[int, dict[str, Any]]:
    """By port, the rows of each topic and the version: of *command*, which prints them as JSON, or of the consoles.

    Raises psycopg.Error, OSError or ValueError when there are none to be had of the first port; others are left out.
    """
    if command:
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
        shown = dict(json.loads(done.stdout))
        further = shown.pop("listeners", {})
        return {ports[0]: shown, **{port: further[str(port)] for port in ports[1:] if further.get(str(port))}}
    with acting_as_owner(socket_dir):
        found = {ports[0]: _figures(socket_dir, ports[0])}
        for port in ports[1:]:
            with contextlib.suppress(psycopg.Error, OSError):
                found[port] = _figures(socket_dir, port)
    return found


def _figures(socket_dir: str, port: int) -> dict[str, Any]:
    with Console(socket_dir, port) as console:
        return {"version": console.version(), **{topic: console.show(topic) for topic in TOPICS}}


def moment(text: str) -> int:
    """Seconds since the epoch of one of PgBouncer's times, which are in the machine's own zone."""
    fields = time.strptime(text[:19], "%Y-%m-%d %H:%M:%S")
    return timegm(fields) if text[20:] in ("UTC", "GMT") else int(time.mktime(fields))
