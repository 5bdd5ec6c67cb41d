# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Leave out of a dump from elsewhere what cannot hold here: owners and rights of roles that do not exist.

No parser of SQL: it knows the lines that pg_dump writes, one a statement, and where they may not be looked for (rows of
COPY, dollar-quoted bodies). What it does not know goes through, and fails in psql if it has to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LEFT_OUT = rb"""
  ALTER\ [^\n]*\ OWNER\ TO\ [^\n]*;
 |(?:GRANT|REVOKE)\ [^\n]*;
 |ALTER\ DEFAULT\ PRIVILEGES\ [^\n]*;
 |COMMENT\ ON\ EXTENSION\ [^\n]*;
 |CREATE\ SCHEMA\ public;
 |SET\ (?:transaction_timeout|default_with_oids)\ =\ [^\n]*;
"""
_MARKS = re.compile(
    rb"^(?P<left_out>"
    + _LEFT_OUT
    + rb")\r?\n|^(?P<copy>COPY\ [^\n]*\ FROM\ stdin;)\r?\n|(?P<quote>\$(?:[A-Za-z_]\w*)?\$)",
    re.MULTILINE | re.VERBOSE,
)
_COPY_ENDS = re.compile(rb"^\\\.\r?\n", re.MULTILINE)


class Filter:
    """Passes a dump on; *left_out* counts the statements that it did not."""

    def __init__(self) -> None:
        self.left_out = 0
        self._until: re.Pattern[bytes] | None = None

    def passed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """*chunks*, cut at ends of lines, without what is left out."""
        rest = b""
        for chunk in chunks:
            data = rest + chunk
            end = data.rfind(b"\n") + 1
            rest = data[end:]
            if end:
                yield b"".join(self._pieces(data[:end]))
        if rest:
            yield b"".join(self._pieces(rest + b"\n"))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        place = 0
        while place < len(data):
            found = (self._until or _MARKS).search(data, place)
            if found is None:
                yield data[place:]
                return
            if self._until:
                self._until = None
                yield data[place : found.end()]
            elif found["left_out"]:
                self.left_out += 1
                yield data[place : found.start()]
            else:
                self._until = _COPY_ENDS if found["copy"] else re.compile(re.escape(found["quote"]))
                yield data[place : found.end()]
            place = found.end()
