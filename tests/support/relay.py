"""A way to a cluster that a test can cut, stop, and cut at the very moment of a COMMIT, before or after it arrives."""

import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.servers import TIMEOUT_S, fast_folder

SOCKET = ".s.PGSQL.5432"
COMMIT = b"COMMIT\0"
CHANGE = b"INSERT INTO operations"


class Relay:
    """Passes bytes between a unix socket of its own and a cluster's."""

    def __init__(self, cluster_folder: Path) -> None:
        self._target = str(cluster_folder / SOCKET)
        self._folder = tempfile.TemporaryDirectory(prefix="dbhost-relay-", dir=fast_folder())
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._server: socket.socket | None = None
        self._muted: set[socket.socket] = set()
        self._arrived = threading.Event()
        # Called once, at the COMMIT of a transaction that has queued an operation: whether it still arrives.
        self.at_commit: Callable[[], bool] | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.resume()
        self.cut()
        self._folder.cleanup()

    def url(self, cluster_url: str) -> str:
        """*cluster_url* by way of this relay."""
        return cluster_url.replace(str(Path(self._target).parent), self._folder.name)

    def open(self) -> None:
        """Take connections (again)."""
        self._server = socket.socket(socket.AF_UNIX)
        path = Path(self._folder.name) / SOCKET
        path.unlink(missing_ok=True)
        self._server.bind(str(path))
        self._server.listen(64)
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def cut(self) -> None:
        """End every connection and take no new one: the server has died."""
        if self._server is not None:
            (Path(self._folder.name) / SOCKET).unlink(missing_ok=True)
            self._server.close()
            self._server = None
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Pass nothing on and keep every socket open, as a process does after SIGSTOP."""
        self._flows.clear()

    def resume(self) -> None:
        """Go on."""
        self._flows.set()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=self._begin, args=(client,), daemon=True).start()

    def _begin(self, client: socket.socket) -> None:
        self._flows.wait()
        target = socket.socket(socket.AF_UNIX)
        target.connect(self._target)
        pair = (client, target)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._answer, args=(target, client), daemon=True)
        back.start()
        self._ask(client, target)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            end.close()

    def _ask(self, client: socket.socket, target: socket.socket) -> None:
        """What a client says; its changes are watched for."""
        changes = False
        with suppress(OSError):
            while data := client.recv(65536):
                self._flows.wait()
                changes = changes or CHANGE in data
                if COMMIT in data and changes and self.at_commit is not None:
                    self._lose(target, data)
                    break
                target.sendall(data)
        self._end(client, target)

    def _answer(self, target: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := target.recv(65536):
                self._flows.wait()
                if target in self._muted:
                    self._arrived.set()
                    continue
                client.sendall(data)
        self._end(client, target)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _lose(self, target: socket.socket, data: bytes) -> None:
        """Cut, after the COMMIT has arrived and was answered, or before it arrives; the client hears of neither."""
        acts, self.at_commit = self.at_commit, None
        if acts is not None and acts():
            self._muted.add(target)
            target.sendall(data)
            self._arrived.wait(TIMEOUT_S)
        self.cut()
