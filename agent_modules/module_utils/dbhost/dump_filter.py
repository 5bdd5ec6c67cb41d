# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pass a dump from elsewhere on to psql, without the whole statements that cannot hold here; count those."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import dump_commands, dump_statements, psql_lexer
from .dump_lines import Lines
from .dump_tokens import Decision, Known, Target
from .errors import TenantError
from .psql_lexer import Lexer

STATEMENT_LIMIT = 256 << 20
_HELD = 1 << 20
_CHUNK = 1 << 18
_LABELS = 100
# What a session of the tenant has unless it says otherwise; pg_dump's own scripts do.
PATH = b'SET search_path = "$user", public;\n'
_MARK = re.compile(rb"^-- PostgreSQL database (cluster )?dump( complete)?\r?$", re.MULTILINE)
_STEP = "Read the dump"


class Filter:
    """One dump on its way. *skipped* says in the end what was left out, *lines* where in the file psql is."""

    def __init__(
        self,
        target: Target,
        *,
        database: str | None = None,
        allow_incomplete: bool = False,
        limit: int = STATEMENT_LIMIT,
        before: int = 0,
    ) -> None:
        self.lines = Lines(before=before)
        self._target, self._wanted, self._allow_incomplete, self._limit = target, database, allow_incomplete, limit
        self._lexer = Lexer()
        self._skipped: dict[str, tuple[int, int]] = {}
        self._section: str | None = None
        self._known: dict[str | None, Known] = {}
        self._several = False
        self._held: list[bytes] = []
        self._size, self._began_at, self._is_held = 0, 1, True
        self._transaction_at: int | None = None
        self._dump_at: dict[bytes | None, int] = {}
        self._row = 0

    @property
    def skipped(self) -> list[dict[str, str | int]]:
        """Each kind of statement that was left out, how often, and the line of the first."""
        return [{"statement": label, "count": n, "line": at} for label, (n, at) in self._skipped.items()]

    @property
    def missing_extensions(self) -> set[str]:
        """Extensions that the dump asks for and that cannot be had here."""
        return {name for known in self._known.values() for kind, name in known.gone if kind == "extension"}

    def passed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """What psql is to be given of *chunks*. Raises TenantError, naming the line of the file."""
        rest = b""
        for chunk in _of_some_size(chunks):
            data = rest + chunk if rest else chunk
            yield self._scanned(data, final=False)
            rest = data[self._lexer.consumed :]
        yield self._scanned(rest, final=True)
        yield self._ended(rest[self._lexer.consumed :])

    def _scanned(self, data: bytes, *, final: bool) -> bytes:
        out: list[bytes] = []
        try:
            for kind, start, end in self._lexer.pieces(data, final=final):
                piece = data[start:end]
                self._take(kind, piece, out)
                self.lines.count(piece)
        except TenantError as error:
            raise error if error.step else self._at(self._here_at, error.code, error.message) from None
        return out[0] if len(out) == 1 else b"".join(out)

    def _take(self, kind: str, piece: bytes, out: list[bytes]) -> None:
        if b"\0" in piece:
            raise TenantError("not_a_dump", "There is a zero byte, which no dump as text has.")
        if kind == psql_lexer.GAP:
            self._between(piece)
        elif kind == psql_lexer.RUN:
            self._made()
            self._send(piece, out)
        elif kind in (psql_lexer.ROWS, psql_lexer.LAST_ROWS):
            self._rows(kind, piece, out)
        elif kind == psql_lexer.COMMAND:
            self._command(piece, out)
        else:
            self._part(kind, piece, out)

    def _between(self, piece: bytes) -> None:
        """A dump that pg_dump made says so in its first lines, and in its last."""
        for found in _MARK.finditer(piece) if b"-- PostgreSQL" in piece else ():
            line = self.lines.file + piece.count(b"\n", 0, found.start())
            if found[2]:
                self._dump_at.pop(found[1], None)
            elif found[1] in self._dump_at:
                self._refuse_incomplete(self._dump_at[found[1]], "the dump that begins there has no end")
            else:
                self._dump_at[found[1]] = line

    def _rows(self, kind: str, piece: bytes, out: list[bytes]) -> None:
        newline = piece.rfind(b"\n")
        self._row = self._row + len(piece) if newline < 0 else len(piece) - newline
        if self._row > self._limit:
            raise TenantError("line_too_long", f"A row is longer than {self._limit} bytes.")
        self._send(piece, out)
        if kind == psql_lexer.LAST_ROWS:
            self._row = 0

    def _command(self, piece: bytes, out: list[bytes]) -> None:
        command = dump_commands.read(piece)
        if command.instead:
            self._send(command.instead, out)
        if command.database is None:
            return
        if command.database:
            self._section = command.database
            self._known.setdefault(self._section, Known(self._target))
        self._lexer.standard_strings, self._transaction_at = True, None
        self._send(b"RESET ALL; " + PATH, out)

    # Statements

    def _part(self, kind: str, piece: bytes, out: list[bytes]) -> None:
        if not self._size:
            self._began_at = self.lines.file
        self._size += len(piece)
        if self._size > self._limit:
            raise TenantError("statement_too_large", f"A statement is longer than {self._limit} bytes.")
        if self._is_held:
            self._held.append(piece)
            if self._size > _HELD:
                self._release(out)
        else:
            self._send(piece, out)
        if kind == psql_lexer.END:
            if self._is_held:
                self._decide(b"".join(self._held), piece, out)
            else:
                self._send(b"\n", out, adds=True)
            self._held, self._size, self._is_held = [], 0, True

    def _release(self, out: list[bytes]) -> None:
        """A statement as long as this is none of those that are left out; the rest of it streams through."""
        self._made()
        self._is_held = False
        whole, self._held = b"".join(self._held), []
        self._send(whole, out, at=self._began_at)

    def _decide(self, statement: bytes, last: bytes, out: list[bytes]) -> None:
        decision = dump_statements.decide(statement, self._here)
        if decision.copies_in:
            self._lexer.begin_rows()
        if (strings := dump_statements.standard_strings(statement)) is not None:
            self._lexer.standard_strings = strings
        self._follow_transaction(statement)
        if decision.skipped and (self._sends or self._section is None):
            self._count(decision)
        elif decision.makes and decision.instead is None:
            self._made()
        if decision.skipped and decision.instead is None:
            return
        text = decision.instead or statement
        end = self.lines.file + last.count(b"\n")
        self._send(text + b"\n", out, at=self._began_at, adds=True)
        self.lines.statement(self._began_at, end, has_rows=decision.copies_in, lines=text.count(b"\n"))

    def _follow_transaction(self, statement: bytes) -> None:
        begins = dump_statements.transaction(statement)
        if begins is not None:
            self._transaction_at = (self._transaction_at or self._began_at) if begins else None

    def _count(self, decision: Decision) -> None:
        label = str(decision.skipped)
        if label not in self._skipped and len(self._skipped) >= _LABELS:
            label = label.partition(" ")[0]
        count, at = self._skipped.get(label, (0, self._began_at))
        self._skipped[label] = count + 1, at

    # The databases of a file

    @property
    def _here_at(self) -> int:
        """The line at which what is being read has begun."""
        return self._began_at if self._size else self.lines.file

    @property
    def _here(self) -> Known:
        return self._known.setdefault(self._section, Known(self._target))

    @property
    def _sends(self) -> bool:
        return not self._several and self._wanted in (None, self._section)

    def _made(self) -> None:
        self._here.something_made = True
        if self._wanted is None and sum(known.something_made for known in self._known.values()) > 1:
            self._several = True

    def _send(self, piece: bytes, out: list[bytes], *, at: int | None = None, adds: bool = False) -> None:
        if self._sends:
            out.extend(self.lines.sent(piece, self.lines.file if at is None else at, adds=adds))

    # The end

    def _ended(self, left: bytes) -> bytes:
        out: list[bytes] = []
        open_now = self._lexer.unfinished
        if open_now or left.strip():
            self._refuse_incomplete(self._here_at, f"the file ends inside {open_now or 'a word'}")
        for line in self._dump_at.values():
            self._refuse_incomplete(line, "the dump that begins there has no end")
        self._require_one_database()
        if self._size and not open_now:
            self._take(psql_lexer.END, b"\n;", out)
        if self._transaction_at is not None and not self._allow_incomplete:
            told = "A transaction begins there and is never ended by COMMIT: nothing of it would be kept."
            raise self._at(self._transaction_at, "incomplete_dump", f"{told} {_OR_ALLOW}")
        return b"".join(out)

    def _refuse_incomplete(self, line: int, what: str) -> None:
        if not self._allow_incomplete:
            raise self._at(line, "incomplete_dump", f"The file is cut off: {what}. Make or send it again. {_OR_ALLOW}")

    def _require_one_database(self) -> None:
        names = sorted(name for name, known in self._known.items() if name is not None and known.something_made)
        listed = ", ".join(names[:20])
        if self._wanted is not None and self._wanted not in self._known:
            raise TenantError("no_such_database", f"The file holds no such database. It holds: {listed}.", step=_STEP)
        if self._several:
            unnamed = [" and one that it does not name"] if None in self._known else []
            told = f"The file holds several databases: {listed}{''.join(unnamed)}. Say which one to import."
            raise TenantError("several_databases", told, step=_STEP)

    def _at(self, line: int, code: str, message: str) -> TenantError:
        return TenantError(code, f"Line {line} of the file: {message}", step=_STEP)


_OR_ALLOW = "To import it all the same, allow an incomplete dump."


def _of_some_size(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """*chunks*, small ones joined: what is kept from one to the next is copied each time."""
    joined: list[bytes] = []
    size = 0
    for chunk in chunks:
        joined.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield b"".join(joined)
            joined, size = [], 0
    yield b"".join(joined)
