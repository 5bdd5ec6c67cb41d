# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pg_dump, pg_restore and psql complain about, as a sentence that the database's owner can act on.

Names of tables, columns and roles stay in it; rows do not. Details and statements are never looked at.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection

from .dump_lines import Lines
from .errors import TenantError

_KEPT = 64 * 1024
_WITH_STATE = re.compile(r"\b(?:ERROR|FATAL|PANIC): +([0-9A-Z]{5}): ([^\n]*)")
_PLAIN = re.compile(r"\b(?:error|ERROR|FATAL): +([^\n]*)")
_RESTRICTED = re.compile(r"backslash commands are restricted|invalid command \\")
_RETRYABLE = ("53", "57P0", "08", "40", "55P03")
_VALUE = re.compile(r'(["\']).*?\1|: .*')
# What is quoted after one of these words is a name, not a value.
_NAME = re.compile(
    r'\b(role|parameter|relation|table|column|type|enum|schema|function|constraint|extension|encoding|domain) "([^"]*)"'
)
_PLACE = re.compile(r"psql:<stdin>:(\d+): (?:ERROR|FATAL|PANIC):")
_ROW = re.compile(r"^CONTEXT: +COPY ([^\n,]{1,200}), line (\d+)(, column [^\n:]{1,100})?", re.MULTILINE)
# What to do, by SQLSTATE, longest first.
_REMEDIES = {
    "42704": "Make the dump without what is not here, or take the statement out of the file.",
    "42883": "It needs something that is not here, often an extension.",
    "3F000": "The schema is not in the file: make the dump of all schemas, or create it at the top of the file.",
    "42P01": "The table is not in the file: was only a part of the database dumped?",
    "42P07": "The file creates it twice: are several dumps of the same database joined?",
    "42501": "A database's own role may not do this. Take the statement out, or make the dump without that object.",
    "42601": "PostgreSQL cannot read the statement: is it a dump of PostgreSQL, and not of a newer version?",
    "22021": "The file is in another encoding than it says: make the dump with --encoding=UTF8.",
    "22": "The value does not fit its column. Correct it in the file, or in the database that the dump is of.",
    "23": "The data break a constraint. Correct them in the database that the dump is of.",
}
_SENTENCES = {
    "row-level security": ("row_security_forced", False),
    "canceling statement due to lock timeout": ("lock_held", True),
    "canceling statement due to statement timeout": ("lock_held", True),  # how pg_dump waits for a lock
    "could not obtain lock": ("lock_held", True),
    "No space left on device": ("host_disk_full", True),
    "too many connections for role": ("too_many_connections", True),
    "too many connections for database": ("too_many_connections", True),
    "unsupported version (-": ("not_a_dump", False),
    "unsupported version": ("newer_archive", False),
    "does not appear to be a valid archive": ("not_a_dump", False),
    "input file is too short": ("not_a_dump", False),
}
_ADVICE = {
    "row_security_forced": " Row security is forced on a table: take FORCE ROW LEVEL SECURITY away from it first.",
    "lock_held": " Somebody holds a lock on a table for long; it is tried again.",
    "newer_archive": " The file was made by a newer PostgreSQL than this host has.",
}


class Complaints:
    """Reads a program's standard error to its end, in a thread, and keeps the last of it, where the reason is."""

    def __init__(self, stream: int) -> None:
        self._stream, self._text = stream, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """All of it; call it when the program has ended."""
        self._thread.join(10)
        return self._text.decode("utf-8", "replace")

    def _read(self) -> None:
        with open(self._stream, "rb", buffering=0) as source:  # noqa: PTH123  # a descriptor, not a path
            while chunk := source.read(8192):
                self._text = (self._text + chunk)[-_KEPT:]


def explain(text: str, code: str, step: str, lines: Lines | None = None, missing: Collection[str] = ()) -> TenantError:
    """The first error in *text* as a TenantError; *code* for one that has no better word.

    *lines*: of a dump from elsewhere, to say where it is. *missing*: extensions that it asks for and that are not here.
    """
    if _RESTRICTED.search(text):
        message = "The dump holds a command for psql, such as \\connect or \\!, which is never carried out."
        return TenantError("command_in_dump", message, step=step)
    if found := _WITH_STATE.search(text):
        state, message = found[1], found[2]
        said = f"PostgreSQL says: {_without_values(state, message)} (SQLSTATE {state})."
        return _known(message, step) or TenantError(
            code,
            f"{_place(text, lines)}{said}{_remedy(state, missing) if lines else ''}",
            retryable=state.startswith(_RETRYABLE),
            step=step,
        )
    found = _PLAIN.search(text)
    message = found[1] if found else ""
    return _known(message, step) or TenantError(code, _sentence(message), retryable=not message, step=step)


def _place(text: str, lines: Lines | None) -> str:
    found = _PLACE.search(text)
    if lines is None or found is None:
        return ""
    row = _ROW.search(text, found.end())
    if row:
        where = f"row {row[2]} of table {_clean(row[1])}{row[3] or ''}"
        return f"Line {lines.of_row(int(found[1]), int(row[2]))} of the file ({where}): "
    return f"Line {lines.of_statement(int(found[1]))} of the file: "


def _remedy(state: str, missing: Collection[str]) -> str:
    told = next((told for start, told in _REMEDIES.items() if state.startswith(start)), "")
    if missing and state.startswith(("42704", "42883", "3F000")):
        told = f"The file uses extensions that are not here: {', '.join(sorted(missing))[:200]}. {told}"
    return f" {told}" if told else ""


def _known(message: str, step: str) -> TenantError | None:
    for words, (code, retryable) in _SENTENCES.items():
        if words in message:
            return TenantError(code, _sentence(message) + _ADVICE.get(code, ""), retryable=retryable, step=step)
    return None


def _sentence(message: str) -> str:
    said = _clean(message.removeprefix("query failed: ").removeprefix("ERROR: "))
    return f"PostgreSQL says: {said}." if said else "The program ended early and did not say why."


def _without_values(state: str, message: str) -> str:
    """Errors of class 22 and those that a tenant's code raises quote rows; what they say of roles and columns stays."""
    if not state.startswith(("22", "P0")):
        return _clean(message)
    if state.startswith("22"):
        message = _NAME.sub("\\1 \x00\\2\x00", message)
    return _clean(_VALUE.sub("…", message).replace("\x00", '"'))


def _clean(message: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in message)
    return printable.strip().rstrip(".")[:300]
