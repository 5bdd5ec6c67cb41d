# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which line of the file a line is that psql was sent: what is left out of a dump moves all that follows."""

from __future__ import annotations

from collections import deque

# More than what a pipe and psql's own buffers can hold.
_KEPT = 50_000


class Lines:
    """Counts the lines of the file and those that were sent, and remembers the newest of both."""

    def __init__(self, *, before: int = 0) -> None:
        """*before*: lines that psql is given first and that are none of the file's."""
        self.file, self._sent, self._is_fresh = 1, 1 + before, True
        self._shifts: deque[tuple[int, int]] = deque([(1 + before, -before)], maxlen=_KEPT)
        self._statements: deque[tuple[int, int, int]] = deque(maxlen=_KEPT)
        self._copies: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def count(self, piece: bytes) -> None:
        """*piece* of the file is behind us."""
        self.file += piece.count(b"\n")

    def sent(self, piece: bytes, at: int, *, adds: bool) -> list[bytes]:
        """What to send for *piece*, which begins at line *at* of the file. *adds*: more lines than the file has."""
        shift = at - self._sent
        pieces = [piece]
        if shift != self._shifts[-1][1] and not self._is_fresh and not adds:
            pieces, shift = [b"\n", piece], shift - 1
            self._sent += 1
        if shift != self._shifts[-1][1]:
            self._shifts.append((self._sent, shift))
        self._sent += piece.count(b"\n")
        self._is_fresh = piece.endswith(b"\n")
        return pieces

    def statement(self, began: int, ended: int, *, has_rows: bool, lines: int) -> None:
        """The statement that was just sent, with a line's end of its own, is at these lines of the file."""
        if began != ended or lines != ended - began:
            self._statements.append((self._sent - 1 - lines, self._sent - 1, began))
        if has_rows:
            self._copies.append((self._sent, ended + 1))

    def of_statement(self, sent: int) -> int:
        """The line of the file where the statement begins that psql complains about at its line *sent*."""
        for first, last, began in reversed(self._statements):
            if first <= sent <= last:
                return began
        return self._moved(sent)

    def of_row(self, sent: int, number: int) -> int:
        """The line of the file with line *number* of the rows that psql was sending at its line *sent*."""
        for first, begins in reversed(self._copies):
            if first <= sent + 1:
                return begins + number - 1
        return self._moved(sent)

    def _moved(self, sent: int) -> int:
        for since, shift in reversed(self._shifts):
            if since <= sent:
                return sent + shift
        return sent
