# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One script of several runs of pg_dump and what is written between them, with one beginning and one end.

pg_dump puts psql into restricted mode under a key; in the joined script that lasts from the first run to the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_HEAD = 4096
_TAIL = 256
_BEGIN = re.compile(rb"^\\restrict ([A-Za-z0-9]{1,128})\n", re.MULTILINE)
_END = re.compile(rb"\\unrestrict [A-Za-z0-9]{1,128}\n+\Z")

Take = Callable[[bytes], None]


class Run:
    """Passes one run on, without the beginning or the end of restricted mode where others come before or after it."""

    def __init__(self, take: Take, *, first: bool, last: bool) -> None:
        self.key: str | None = None
        self._take, self._first, self._last = take, first, last
        self._head: bytes | None = b""
        self._held = b""

    def take(self, chunk: bytes) -> None:
        """The next part of the run."""
        if self._head is None:
            self._pass(chunk)
            return
        self._head += chunk
        if len(self._head) >= _HEAD:
            self._begin()

    def finish(self) -> None:
        """The run has ended."""
        if self._head is not None:
            self._begin()
        self._take(self._held if self._last else _END.sub(b"", self._held))
        self._held = b""

    def _begin(self) -> None:
        head, self._head = self._head or b"", None
        if found := _BEGIN.search(head[:_HEAD]):
            self.key = found[1].decode()
            head = head if self._first else head[: found.start()] + head[found.end() :]
        self._pass(head)

    def _pass(self, chunk: bytes) -> None:
        data = self._held + chunk
        self._held = data[-_TAIL:]
        if len(data) > _TAIL:
            self._take(data[:-_TAIL])
