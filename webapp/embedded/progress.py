"""Say what `up` is doing: a live line on a terminal, plain lines elsewhere. All of it goes to standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

SLOW_S = 1.0


class Progress:
    """Steps with their time; standard output stays free for the result."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._status: Status | None = None

    @contextmanager
    def step(self, sentence: str) -> Iterator[None]:
        """Show *sentence* while the block runs, and a line with its time when it ended well."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(sentence) as self._status:
                yield
            self._status = None
        else:
            yield
        took = time.monotonic() - started
        self.console.print(f"[green]✓[/] {sentence}" + (f" [dim]{took:.1f} s[/]" if took >= SLOW_S else ""))

    def detail(self, sentence: str) -> None:
        """What the current step is at: replaces the live line; nothing where there is none."""
        if self._status is not None:
            self._status.update(sentence)

    def counted(self, total: int) -> Callable[[str], None]:
        """What to call with each detail of a long step: shows how far it is; a line each where there is no live one."""
        number = 0

        def tell(sentence: str) -> None:
            nonlocal number, total
            number += 1
            total = max(total, number)
            self.detail(f"{number} of {total}: {sentence}")
            if self._status is None:
                self.note(f"[dim]{number:>2} of {total}[/] {escape(sentence)}")

        return tell

    def note(self, sentence: str) -> None:
        self.console.print(f"  {sentence}")
