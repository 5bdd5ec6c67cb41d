"""Threads for what a worker does beside the operations: each looker-after has a bounded number of its own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Slots:
    """*count* threads; used by one thread, the worker's tick."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._under_way: set[Future[Any]] = set()

    @property
    def free(self) -> int:
        """How many have nothing to do."""
        self._under_way = {future for future in self._under_way if not future.done()}
        return max(0, self._count - len(self._under_way))

    def start(self, work: Callable[..., object], *arguments: object) -> None:
        """Do the work in one of the threads; *work* guards itself, what it raises is told to nobody."""
        self._under_way.add(self._pool.submit(work, *arguments))

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()
