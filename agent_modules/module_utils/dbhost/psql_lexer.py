# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cut a stream of SQL into statements, psql commands and rows of COPY by psql's own lexical rules (psqlscan.l).

Each byte is looked at a bounded number of times, and only the last, unfinished token is kept from chunk to chunk:
the work is linear and the memory bounded, whatever a file holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .errors import TenantError

GAP, PART, END, RUN, COMMAND, ROWS, LAST_ROWS = "gap", "part", "end", "run", "command", "rows", "last_rows"
TOKEN_LIMIT = 64 * 1024

_WORD = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+"
_BLOCK_COMMENT = rb"/\*(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/"
# What needs no second look. A word that may begin a string, or whose end is not in sight, is none of it.
_PLAIN = (
    rb"[^A-Za-z_0-9\x80-\xff'\"$;\\/\-()]++|[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+(?=[^'$&])"
    rb"|[0-9][0-9A-Za-z_]*+(?=[^$])|'%s*+'|\"[^\"]*+\"|-(?=[^-])|/(?=[^*])"
)


def _bulk(in_string: bytes) -> bytes:
    plain = _PLAIN.replace(b"%s", in_string)
    inner = rb"\((?:" + plain + rb")*+\)"
    return rb"(?:" + plain + rb"|" + inner + rb"|\((?:" + plain + rb"|" + inner + rb")*+\))*+"


_BULKS = {True: _bulk(rb"[^']"), False: _bulk(rb"[^'\\]")}
_BULK = {on: re.compile(bulk, re.DOTALL) for on, bulk in _BULKS.items()}
# Whole INSERTs, one after the other: most of a dump that has no COPY.
_INSERTS = {
    on: re.compile(rb"(?:INSERT[ \t\r\n]" + bulk + rb";(?:[ \t\r]{0,8}+\n)?+)*+", re.DOTALL)
    for on, bulk in _BULKS.items()
}
_GAP = re.compile(rb"(?:[ \t\n\r\f\v]++|--[^\n\r]*+[\n\r]|" + _BLOCK_COMMENT + rb"|\xef\xbb\xbf)*+", re.DOTALL)
_TOKEN = re.compile(
    rb"(?P<end>;)|(?P<open>\()|(?P<close>\))|(?P<escape>[eE]')|(?P<string>(?:[bBxXnN]|[uU]&)?')|(?P<name>(?:[uU]&)?\")"
    rb"|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+)?\$)|(?P<comment>--)|(?P<block>/\*)"
    rb"|(?P<word>" + _WORD + rb")|(?P<command>\\)|(?P<number>[0-9][0-9A-Za-z_]*+)|(?P<space>[ \t\n\r\f\v]++)"
    rb"|(?P<tag>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+)?)|(?P<other>.)",
    re.DOTALL,
)
_IN_ESCAPE = re.compile(rb"(?:[^'\\]++|\\.|'')*+", re.DOTALL)
_BLOCK_MARK = re.compile(rb"/\*|\*/")
_LINE_END = re.compile(rb"[\n\r]")
_REST = re.compile(rb"[ \t\r\f\v]*+(?:--[^\n]*+)?\n")
_COMMAND_LINE = re.compile(rb"\\[^\n]*+\n")
_NEEDS_MORE = frozenset({"word", "number", "tag", "other"})
_OPENERS = {"or": "o", "replace": "r", "function": "f", "procedure": "p", "create": "c"}
_WITH_BODY = ("cf", "cp", "corf", "corp")


# What a token opens, and what ends it; of `dollar` the token itself.
_QUOTES = {"escape": b"\\", "string": b"'", "name": b'"', "dollar": b"$", "comment": b"\n", "block": b"*"}


class Lexer:
    """The state between two chunks. The caller says when a statement was a COPY that reads rows."""

    def __init__(self) -> None:
        self.standard_strings = True
        self.rows = False
        self.consumed = 0
        self._in_line = self._rows_follow = False
        self._begin()
        self._open = False
        self._closing: bytes | None = None
        self._depth = 0

    @property
    def unfinished(self) -> str | None:
        """What is open now, in words; None between two statements and in one that is merely not ended by `;`."""
        if self.rows or self._rows_follow:
            return "the rows of a COPY"
        words = {b"'": "a string", b"\\": "a string", b'"': "a quoted name", b"*": "a comment", b"\n": None}
        return words.get(self._closing, "a dollar-quoted string") if self._closing else None

    @property
    def in_statement(self) -> bool:
        """Whether a statement has begun and not ended."""
        return self._open

    def pieces(self, data: bytes, *, final: bool) -> Iterator[tuple[str, int, int]]:
        """What *data* consists of: kind, start, end. *consumed* says in the end from where it is to be given again."""
        position, size = 0, len(data)
        self.consumed = 0
        while position < size:
            kind, end = self._step(data, position, final)
            if end == position and kind not in (END,):
                break
            self.consumed = end
            yield kind, position, end
            position = end
        if size - self.consumed > TOKEN_LIMIT:
            raise TenantError("line_too_long", "A single word or command of the dump is longer than 64 kB.")

    def begin_rows(self) -> None:
        """The statement that has just ended reads rows, from the next line on."""
        self._rows_follow = True

    def _step(self, data: bytes, position: int, final: bool) -> tuple[str, int]:
        if self._rows_follow:
            return self._rest_of_line(data, position)
        if self.rows:
            return self._rows(data, position, final)
        if self._closing is not None:
            return (PART if self._open else GAP), self._quoted(data, position, final)
        if self._open:
            return self._statement(data, position, final)
        return self._between(data, position, final)

    # Between statements

    def _between(self, data: bytes, position: int, final: bool) -> tuple[str, int]:
        inserts = _INSERTS[self.standard_strings].match(data, position)
        if inserts and inserts.end() > position:
            return RUN, inserts.end()
        gap = _GAP.match(data, position)
        if gap and gap.end() > position:
            return GAP, gap.end()
        token = _TOKEN.match(data, position)
        if token is None or (not final and len(data) - position < 3):
            return GAP, position
        if token.lastgroup in ("comment", "block"):
            return GAP, self._comment(data, position, token.lastgroup, final)
        if token.lastgroup == "command":
            return COMMAND, self._command(data, position, final)
        self._begin()
        return self._statement(data, position, final)

    def _command(self, data: bytes, position: int, final: bool) -> int:
        line = _COMMAND_LINE.match(data, position)
        if line:
            return line.end()
        return len(data) if final else position

    def _comment(self, data: bytes, position: int, kind: str, final: bool) -> int:
        """Enter a comment whose end is not in *data*, unless it is short enough to wait for its end."""
        if not final and len(data) - position < TOKEN_LIMIT // 2:
            return position
        self._closing, self._depth = (b"\n", 0) if kind == "comment" else (b"*", 1)
        return self._quoted(data, position + 2, final)

    # In a statement

    def _begin(self) -> None:
        self._open, self._parens, self._begins = True, 0, 0
        self._words, self._opener, self._watch_words = 0, "", True

    def _statement(self, data: bytes, position: int, final: bool) -> tuple[str, int]:
        bulk, size = _BULK[self.standard_strings], len(data)
        while position < size:
            if not self._watch_words:
                found = bulk.match(data, position)
                position = found.end() if found else position
            token = _TOKEN.match(data, position)
            if token is None:
                break
            kind = str(token.lastgroup)
            if token.end() == size and not final and kind in _NEEDS_MORE:
                break
            if kind == "end" and self._parens == 0 and self._begins == 0:
                self._open = False
                return END, token.end()
            if kind == "command":
                raise TenantError("command_in_dump", "There is a command for psql (a backslash) inside a statement.")
            position = token.end()
            if kind in _QUOTES:
                self._closing = token[0] if kind == "dollar" else _QUOTES[kind]
                if (
                    kind == "string"
                    and not self.standard_strings
                    and not token[0].upper().startswith((b"U", b"B", b"X"))
                ):
                    self._closing = b"\\"
                self._depth = 1
                position = self._quoted(data, position, final)
                if self._closing is not None:
                    break
            elif kind == "open":
                self._parens += 1
            elif kind == "close":
                self._parens = max(self._parens - 1, 0)
            elif kind == "word" and self._watch_words:
                self._word(token[0].lower().decode("latin-1"))
        return PART, position

    def _word(self, word: str) -> None:
        """As psql does: only in a function may a body of its own hold semicolons, between BEGIN and END."""
        if self._words < 4:
            self._opener += _OPENERS.get(word, "-")
        self._words += 1
        if self._opener.startswith(_WITH_BODY):
            if self._parens:
                return
            if word == "begin" or (word == "case" and self._begins):
                self._begins += 1
            elif word == "end":
                self._begins = max(self._begins - 1, 0)
        else:
            self._watch_words = any(body.startswith(self._opener) for body in _WITH_BODY)

    # In strings, quoted names and comments

    def _quoted(self, data: bytes, position: int, final: bool) -> int:
        closing = self._closing or b""
        if closing == b"\\":
            return self._escape_string(data, position, final)
        if closing == b"*":
            return self._block_comment(data, position)
        if closing == b"\n":
            found = _LINE_END.search(data, position)
            self._closing = None if found or final else closing
            return found.end() if found else len(data)
        end = data.find(closing, position)
        if end >= 0:
            self._closing = None
            return end + len(closing)
        return len(data) if final else max(len(data) - len(closing) + 1, position)

    def _escape_string(self, data: bytes, position: int, final: bool) -> int:
        found = _IN_ESCAPE.match(data, position)
        end = found.end() if found else position
        if end < len(data) and data[end : end + 1] == b"'" and (final or end + 1 < len(data)):
            self._closing = None
            return end + 1
        return len(data) if final else end

    def _block_comment(self, data: bytes, position: int) -> int:
        while mark := _BLOCK_MARK.search(data, position):
            position = mark.end()
            self._depth += 1 if mark[0] == b"/*" else -1
            if self._depth == 0:
                self._closing = None
                return position
        return max(position, len(data) - 1)

    # In rows of COPY

    def _rest_of_line(self, data: bytes, position: int) -> tuple[str, int]:
        found = _REST.match(data, position)
        if found:
            self._rows_follow, self.rows, self._in_line = False, True, False
            return GAP, found.end()
        if b"\n" in data[position:]:
            raise TenantError("not_supported", "Something follows COPY … FROM stdin on its line.")
        return GAP, position

    def _rows(self, data: bytes, position: int, final: bool) -> tuple[str, int]:
        """Up to the line `\\.`, which psql looks for in every format of COPY."""
        at_begin = not self._in_line and data.startswith(b"\\.", position)
        mark = position if at_begin else _next_mark(data, position)
        while mark >= 0:
            line = data[mark : mark + 4]
            if line[:3] == b"\\.\n" or line == b"\\.\r\n" or (final and line == b"\\."):
                self.rows = self._in_line = False
                return LAST_ROWS, mark + (4 if line == b"\\.\r\n" else min(3, len(line)))
            if not final and line in (b"\\.", b"\\.\r"):
                self._in_line = self._in_line and mark == position
                return ROWS, mark
            mark = _next_mark(data, mark + 1)
        return self._some_rows(data, position, final)

    def _some_rows(self, data: bytes, position: int, final: bool) -> tuple[str, int]:
        end = len(data)
        if not final and data.endswith(b"\\") and (data[position:] == b"\\" or data.endswith(b"\n\\")):
            end -= 1
        if end > position:
            self._in_line = data[end - 1 : end] != b"\n"
        return ROWS, end


def _next_mark(data: bytes, position: int) -> int:
    found = data.find(b"\n\\.", position)
    return found + 1 if found >= 0 else -1
