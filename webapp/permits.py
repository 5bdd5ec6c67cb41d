"""Permits of bounded semaphores, which come back however the work ends: the only place that takes one."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager


class Permit:
    """Held by the block that took it, unless it was handed over to whoever ends the work."""

    def __init__(self, slots: threading.BoundedSemaphore) -> None:
        self._slots = slots
        self.is_handed_over = False

    def hand_over(self) -> Callable[[], None]:
        """Let the permit outlive its block; whoever gets what this returns calls it once."""
        self.is_handed_over = True
        return self._slots.release

    def start(self, work: Callable[[], None], name: str) -> None:
        """Do the work in a thread of its own, which gives the permit back; not begun, it stays with the block."""

        def guarded() -> None:
            try:
                work()
            finally:
                self._slots.release()

        threading.Thread(target=guarded, name=name, daemon=True).start()
        self.is_handed_over = True


@contextmanager
def permit(slots: threading.BoundedSemaphore, patience_s: float = 0) -> Iterator[Permit | None]:
    """One permit for the block, or None when all are taken and none comes back within *patience_s*."""
    if not slots.acquire(timeout=patience_s):
        yield None
        return
    taken = Permit(slots)
    try:
        yield taken
    finally:
        if not taken.is_handed_over:
            slots.release()


class Shares:
    """At most *each* permits for everybody who asks, as long as somebody holds one."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._lock = threading.Lock()
        self._slots: dict[Hashable, tuple[threading.BoundedSemaphore, list[None]]] = {}

    @contextmanager
    def of(self, who: Hashable, patience_s: float) -> Iterator[Permit | None]:
        """A permit of *who* for the block, or None when their others keep all of them for *patience_s*."""
        with self._lock:
            slots, asking = self._slots.setdefault(who, (threading.BoundedSemaphore(self._each), []))
            asking.append(None)
        try:
            with permit(slots, patience_s) as taken:
                yield taken
        finally:
            with self._lock:
                asking.pop()
                if not asking:
                    del self._slots[who]


def wait_for_all(slots: threading.BoundedSemaphore, count: int) -> None:
    """Wait until nobody holds one of the *count* permits; nobody gets one afterwards."""
    for _ in range(count):
        slots.acquire()
