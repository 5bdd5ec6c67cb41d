"""One thread at a time for each subject: of two doorbells for the same host the second waits for the first's thread."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Used by all threads of a worker; the queue's lock does the same between workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[uuid.UUID, tuple[threading.Lock, list[None]]] = {}

    @contextmanager
    def of(self, subject: uuid.UUID) -> Iterator[None]:
        """Hold the subject's turn while the block lasts."""
        with self._lock:
            turn, waiting = self._turns.setdefault(subject, (threading.Lock(), []))
            waiting.append(None)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                waiting.pop()
                if not waiting:
                    del self._turns[subject]
