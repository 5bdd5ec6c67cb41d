"""gunicorn's threads, of which none waits for a slow client: requests are gathered by the poller, within a time."""

import selectors
import time
from collections import Counter
from functools import partial
from itertools import takewhile
from typing import Any, override

from gunicorn import http
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

# From the connection, or the first byte after an answer, to the end of the headers and of a small body.
REQUEST_S = 15.0
HEADERS_END = b"\r\n\r\n"
LARGEST_HEADERS = 128 * 1024  # gunicorn's own limits say no long before
# A body up to this size is gathered too; a larger one is read by a thread, and has to come at this pace.
SMALL_BODY = 64 * 1024
BODY_GRACE_S = 30.0
SLOWEST_BYTES_PER_S = 8 * 1024
# Between two bytes in a thread, either way.
GAP_S = 30.0
# Of one address that is not this machine's own (a proxy on it speaks for everybody).
CONNECTIONS_AN_ADDRESS = 200


class Gathered:
    """What a connection has sent of its next request."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.data = bytearray()
        self._needed: int | None = None

    def is_whole(self) -> bool:
        """Whether a thread can go on without waiting, or has to say no."""
        if self._needed is None:
            end = self.data.find(HEADERS_END)
            if end < 0:
                return len(self.data) > LARGEST_HEADERS
            self._needed = end + len(HEADERS_END) + small_body(bytes(self.data[:end]))
        return len(self.data) >= self._needed


def small_body(headers: bytes) -> int:
    """The length of a body that is worth gathering; 0 for none, a large one, and one in chunks or sent when asked."""
    if b"\nexpect:" in headers.lower():
        return 0
    for line in headers.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value) if len(value.strip()) < 10 else SMALL_BODY + 1
            return length if length <= SMALL_BODY else 0
    return 0


class PacedUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads a body as long as it comes at a pace that somebody's line can have."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.begin()

    def begin(self) -> None:
        """A new request."""
        self._began = time.monotonic()
        self._read = 0

    @override
    def chunk(self, size_hint: int | None = None) -> bytes:
        left_s = self._began + BODY_GRACE_S + self._read / SLOWEST_BYTES_PER_S - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the body comes too slowly")
        self.sock.settimeout(min(GAP_S, left_s))
        data: bytes = super().chunk(size_hint)
        self.sock.settimeout(GAP_S)
        self._read += len(data)
        return data


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """A connection gets a thread when its request is there, and is closed when that takes too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gathering: dict[TConn, Gathered] = {}  # the oldest first
        self._addresses: Counter[str] = Counter()

    @override
    def accept(self, listener: Any) -> None:
        try:
            client, address = listener.accept()
        except OSError:
            return  # gone again, or another process was quicker
        if self._is_crowd(address):
            client.close()
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        self._gather(connection)

    def _is_crowd(self, address: Any) -> bool:
        """Count the connection, unless its address has too many."""
        name = address_of(address)
        if name is None:
            return False
        if self._addresses[name] >= CONNECTIONS_AN_ADDRESS:
            return True
        self._addresses[name] += 1
        return False

    def _gather(self, connection: TConn) -> None:
        gathered = Gathered(time.monotonic() + REQUEST_S)
        if connection.parser is not None:
            gathered.data += connection.parser.unreader.take_buffered()
        connection.sock.setblocking(False)
        if gathered.is_whole():
            self._hand_over(connection, gathered)
            return
        self._gathering[connection] = gathered
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._read, connection, gathered))

    def _read(self, connection: TConn, gathered: Gathered, _socket: Any) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        gathered.data += data
        if data and not gathered.is_whole():
            return
        self.poller.unregister(connection.sock)
        del self._gathering[connection]
        if data:
            self._hand_over(connection, gathered)
        else:
            self._drop(connection)

    def _hand_over(self, connection: TConn, gathered: Gathered) -> None:
        """Give the request to a thread; the parser begins with what is there."""
        if connection.parser is None:
            connection.parser = http.get_parser(self.cfg, connection.sock, connection.client)
            connection.parser.unreader = PacedUnreader(connection.sock)
        connection.initialized = connection.data_ready = True
        connection.parser.unreader.begin()
        connection.parser.unreader.unread(bytes(gathered.data))
        self.enqueue_req(connection)

    @override
    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        """The next request of a kept connection begins."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._gather(conn)

    @override
    def murder_pending(self) -> None:
        now = time.monotonic()
        late = list(takewhile(lambda one: one[1].deadline <= now, self._gathering.items()))
        for connection, _ in late:
            del self._gathering[connection]
            self.poller.unregister(connection.sock)
            self._drop(connection)

    @override
    def murder_keepalived(self, force: bool = False) -> None:
        before = set(self.keepalived_conns)
        super().murder_keepalived(force)
        for connection in before.difference(self.keepalived_conns):
            self._forget(connection)

    @override
    def finish_request(self, conn: TConn, fs: Any) -> None:
        if is_kept(fs) and conn.parser.unreader.buf.getvalue():
            self._gather(conn)  # the next request has begun already
            return
        open_before = self.nr_conns
        super().finish_request(conn, fs)
        if self.nr_conns < open_before:
            self._forget(conn)

    @override
    def handle_request(self, req: Any, conn: TConn) -> Any:
        """As gunicorn does, for a client that reads."""
        conn.sock.settimeout(GAP_S)
        return super().handle_request(req, conn)

    def _drop(self, connection: TConn) -> None:
        self.nr_conns -= 1
        self._forget(connection)
        connection.close()

    def _forget(self, connection: TConn) -> None:
        name = address_of(connection.client)
        if name is not None:
            self._addresses[name] -= 1
            if self._addresses[name] <= 0:
                del self._addresses[name]


def is_kept(ended: Any) -> bool:
    """Whether an answer was given and the connection goes on."""
    return not ended.cancelled() and ended.exception() is None and ended.result() is True


def address_of(client: Any) -> str | None:
    """The address that is counted, or None for this machine's own."""
    name = str(client[0]) if isinstance(client, tuple) else ""
    return None if not name or name.startswith("127.") or name in ("::1", "::ffff:127.0.0.1") else name
