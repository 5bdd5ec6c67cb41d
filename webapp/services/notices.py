"""Wake whoever waits for a change: one connection listens, any number of threads wait."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import structlog

from webapp.db import connect
from webapp.notify import BOUNDED, CHANNEL, EVERYBODY, LOCK_TIMEOUT

RECHECK_S = 1.0
DEAF_RECHECK_S = 0.1
RETRY_S = 1.0
POLL_S = 0.5
PING = "ping"

log = structlog.get_logger(__name__)


class Subscription:
    """What one waiter has not seen yet. A notice only says "look again"; it may come too often."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = set(topics)
        self._event = threading.Event()

    def follow(self, topic: str) -> None:
        """Be woken by *topic* too."""
        self._topics.add(topic)

    def offer(self, topic: str | None) -> None:
        """Wake the waiter when *topic* is one of its own; None concerns everybody."""
        if topic is None or not self._topics or topic in self._topics:
            self._event.set()

    def wait(self, timeout_s: float = RECHECK_S) -> bool:
        """Sleep until something changed, at most *timeout_s*; re-read the row either way."""
        changed = self._event.wait(timeout_s)
        self._event.clear()
        return changed


class Notices:
    """The process's one listener. The thread starts with the first subscription, so also after a fork.

    Topics are `operation:<id>` and `run:<id>`. LISTEN needs a session of its own: behind a transaction pooler
    nothing arrives, which is noticed, and `wait` then looks more often.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._stop = threading.Event()
        self._hears = threading.Event()

    @property
    def recheck_s(self) -> float:
        """How long a waiter may sleep without looking itself."""
        return RECHECK_S if self._hears.is_set() else DEAF_RECHECK_S

    @contextmanager
    def subscribe(self, *topics: str) -> Iterator[Subscription]:
        """Be woken by changes of *topics* (of anything, when none is named) until the block ends."""
        subscription = Subscription(topics)
        with self._lock:
            self._subscriptions.add(subscription)
            self._ensure_thread()
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)

    def wait(self, predicate: Callable[[], bool], timeout_s: float, *topics: str) -> bool:
        """Call *predicate* now, after changes of *topics* and at least each second, until it holds or time is over."""
        deadline = time.monotonic() + timeout_s
        with self.subscribe(*topics) as subscription:
            while not predicate():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                subscription.wait(min(left, self.recheck_s))
        return True

    def close(self) -> None:
        """End the thread, which may be waiting for a notice: its connection is shut down under it."""
        self._stop.set()
        with self._lock:
            thread = self._thread
            if self._connection is not None:
                shut_down(self._connection)
        if thread is not None:
            thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._wake(None)  # what happened before is not told again
                    self._call_oneself()
                    self._forward(connection)
            except psycopg.Error as error:
                if not self._stop.is_set():
                    log.warning("notices_lost", error=type(error).__name__)
            self._hears.clear()
            self._stop.wait(RETRY_S)

    def _call_oneself(self) -> None:
        """A notice through another connection: only a listener with a session of its own receives it."""
        with connect(self._url, autocommit=True) as other:
            other.execute(f"{BOUNDED}, pg_notify(%s, %s)", (LOCK_TIMEOUT, CHANNEL, PING))

    def _forward(self, connection: psycopg.Connection[Any]) -> None:
        with self._closing_cuts(connection):
            while not self._stop.is_set():
                for notice in connection.notifies(timeout=POLL_S, stop_after=1):
                    if notice.payload == PING:
                        self._hears.set()
                    else:
                        self._wake(None if notice.payload == EVERYBODY else notice.payload)

    @contextmanager
    def _closing_cuts(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Let `close` shut *connection* down while the block lasts, and not after: its number may be another's then."""
        with self._lock:
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def _wake(self, topic: str | None) -> None:
        with self._lock:
            for subscription in self._subscriptions:
                subscription.offer(topic)


def shut_down(connection: psycopg.Connection[Any]) -> None:
    """Wake whoever waits on *connection*, which is closed by its own thread."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as other:
        other.shutdown(socket.SHUT_RDWR)
