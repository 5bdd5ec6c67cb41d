#!/usr/bin/python3
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run pg_dump, pg_restore and psql as the OS user of dumps, for the agent at the other end of a unix socket.

Stands alone (nothing but the standard library), as hosts have it as a program of its own. A request is one line of
JSON with the three standard streams beside it; the answer is one line with the exit status. Who closes the connection
ends the program.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import resource
import select
import signal
import socket
import socketserver
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = ("pg_dump", "pg_restore", "psql")
SETTINGS = ("PGAPPNAME", "PGDATABASE", "PGHOST", "PGOPTIONS", "PGPORT", "PGUSER")
_REQUEST_LIMIT = 65536


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What a program may know: where to log in, and nothing of the caller's own."""
    kept = {name: settings[name] for name in SETTINGS if name in settings}
    library = {"LD_LIBRARY_PATH": os.environ["LD_LIBRARY_PATH"]} if "LD_LIBRARY_PATH" in os.environ else {}
    closed = {"HOME": "/nonexistent", "PGPASSFILE": "/dev/null", "PGSERVICEFILE": "/dev/null"}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10", **closed, **library, **kept}


def limit() -> None:
    """In the program's process: it can start no other, write no file and leave no core.

    What gets past psql's restricted mode then still finds no shell.
    """
    os.nice(5)
    for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(kind, (0, 0))


def start(
    bin_dir: str, program: str, arguments: Sequence[str], settings: Mapping[str, str], **streams: Any
) -> subprocess.Popen[bytes]:
    """Start one of the three programs in a session of its own. Raises ValueError for any other."""
    if program not in PROGRAMS:
        raise ValueError("This program is not run here.")
    return subprocess.Popen(
        [str(Path(bin_dir) / program), *arguments],
        env=environment(settings),
        cwd="/",
        preexec_fn=limit,
        start_new_session=True,
        **streams,
    )


def peer(connection: socket.socket) -> str:
    """The OS user at the other end, by the kernel's word."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return pwd.getpwuid(struct.unpack("3i", credentials)[1]).pw_name


def serve(connection: socket.socket, bin_dir: str, allowed: Sequence[str]) -> None:
    """Carry out the one request of *connection*; nothing at all for a user who is not in *allowed*."""
    if peer(connection) not in allowed:
        return
    line, streams = _receive(connection)
    if len(streams) != 3 or not line.endswith(b"\n"):
        return
    try:
        asked = json.loads(line)
        process = start(
            bin_dir,
            asked["program"],
            asked["arguments"],
            asked["settings"],
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
        )
    except (ValueError, KeyError, TypeError, OSError):
        connection.sendall(b'{"status": 127}\n')
        return
    finally:
        for stream in streams:
            os.close(stream)
    connection.sendall(json.dumps({"status": _wait(connection, process)}).encode() + b"\n")


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    line, streams, _flags, _address = socket.recv_fds(connection, _REQUEST_LIMIT, 3)
    while line and not line.endswith(b"\n") and len(line) < _REQUEST_LIMIT:
        more = connection.recv(_REQUEST_LIMIT)
        if not more:
            break
        line += more
    return line, list(streams)


def _wait(connection: socket.socket, process: subprocess.Popen[bytes]) -> int:
    """The exit status; a program whose caller has gone is ended."""
    ended = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([ended, connection.fileno()], [], [])
        if ended not in ready:
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
    finally:
        os.close(ended)


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 64
    request_queue_size = 64


def listen(path: str, bin_dir: str, allowed: Sequence[str]) -> None:
    """Serve at *path* for ever, each connection in a process of its own."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request, bin_dir, allowed)

    Path(path).unlink(missing_ok=True)
    with _Server(path, Handler) as server:
        Path(path).chmod(0o666)  # who is let in is decided by the peer's user
        server.serve_forever()


def main() -> None:
    """Serve the connection that systemd has put on standard input, or listen at a path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--allow", required=True, nargs="+", metavar="USER")
    parser.add_argument("--listen", metavar="PATH")
    given = parser.parse_args()
    if given.listen:
        listen(given.listen, given.bin_dir, given.allow)
        return
    with socket.socket(fileno=os.dup(0)) as connection:
        serve(connection, given.bin_dir, given.allow)


if __name__ == "__main__":
    main()
