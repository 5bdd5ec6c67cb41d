"""Ask the fork server for a run; its events come back over a socket, as ansible-runner's stream."""

import json
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

ANSWER_TIMEOUT_S = 5.0
CHUNK_BYTES = 1 << 18
CRASHED = 250


class WarmRun:
    """A run that the server has started. To leave the context ends it if it is still under way."""

    def __init__(self, connection: socket.socket, events: socket.socket, pid: int) -> None:
        self.pid = pid
        self._connection = connection
        self.events = events

    def __enter__(self) -> "WarmRun":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.events.close()
        self._connection.close()

    def exit_code(self) -> int:
        """The run's exit code, once its process is gone."""
        self._connection.settimeout(None)
        answer = self._connection.makefile("rb").readline()
        return int(answer) if answer.strip() else CRASHED


def ask(path: str, arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> WarmRun | None:
    """Have the server at *path* run a command; None when it declines or is not there."""
    connection = socket.socket(socket.AF_UNIX)
    ours, theirs = socket.socketpair()
    request = json.dumps({"arguments": list(arguments), "environment": dict(environment), "folder": folder}).encode()
    try:
        connection.settimeout(ANSWER_TIMEOUT_S)
        connection.connect(path)
        socket.send_fds(connection, [f"{len(request)}\n".encode()], [theirs.fileno()])
        connection.sendall(request)
        answer = connection.makefile("rb").readline().strip()
    except OSError:
        answer = b""
    finally:
        theirs.close()
    if answer.isdigit():
        return WarmRun(connection, ours, int(answer))
    for unused in (connection, ours):
        unused.close()
    return None


class Lines:
    """The lines of a stream, for `ansible_runner.streaming.Processor`. While none comes, *look* is called."""

    def __init__(self, events: socket.socket, every_s: float, look: Callable[[], object]) -> None:
        self._events = events
        self._every_s = every_s
        self._look = look
        self._rest = bytearray()

    def readline(self) -> bytes:
        """The next line; nothing once the run's process has closed the stream."""
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            while not select.select([self._events], [], [], self._every_s)[0]:
                self._look()
            more = self._events.recv(CHUNK_BYTES)
            if not more:
                return b""
            self._rest += more
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        self._look()
        return line
