# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands for psql that stand in a dump: none is carried out; those that change nothing are passed over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import TenantError

_HARMLESS = frozenset({"restrict", "unrestrict", ".", "echo", "qecho", "warn", "timing", "pset", "t", "a", "x"})
_NOISE = frozenset({"ON_ERROR_STOP", "ECHO", "QUIET", "VERBOSITY", "SHOW_CONTEXT", "FETCH_COUNT", "HISTCONTROL"})
_COMMAND = re.compile(r"\\(\.|[A-Za-z_?!]+[+]*)\s*(.*)", re.DOTALL)
_CONNINFO = re.compile(r"dbname\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))")
_ARGUMENT = re.compile(r"\"((?:[^\"]|\"\")*)\"|'((?:[^']|'')*)'|(\S+)")
_ENCODING = re.compile(r"'?([A-Za-z0-9_-]+)'?")


@dataclass(frozen=True)
class Command:
    """*database*: what a \\connect names; "" for the one that it is in already. *instead*: what is sent for it."""

    database: str | None = None
    instead: bytes = b""


def read(line: bytes) -> Command:
    """What *line*, which begins with a backslash, means. Raises TenantError for what is never carried out."""
    found = _COMMAND.match(line.decode("utf-8", "replace").strip())
    name, rest = (found[1], found[2].strip()) if found else ("", "")
    if name in ("connect", "c") and "`" not in rest:
        return Command(database=_database(rest))
    encoding = _ENCODING.fullmatch(rest)
    if name == "encoding" and encoding:
        return Command(instead=f"SET client_encoding = '{encoding[1]}';\n".encode())
    if name in _HARMLESS or (name in ("set", "unset") and rest.partition(" ")[0] in _NOISE and "`" not in rest):
        return Command()
    raise TenantError(
        "command_in_dump",
        f"The dump holds the command \\{name[:20]} for psql, which is never carried out. Take that line out.",
    )


def _database(rest: str) -> str:
    arguments = [match for match in _ARGUMENT.finditer(rest) if not match[0].startswith("-reuse-previous")]
    if not arguments or arguments[0][0] == "-":
        return ""
    first = arguments[0]
    text = str(first[1] if first[1] is not None else first[2] if first[2] is not None else first[3])
    text = text.replace('""', '"')
    conninfo = _CONNINFO.search(text) if "=" in text else None
    if conninfo:
        return re.sub(r"\\(.)", r"\1", conninfo[1]) if conninfo[1] is not None else conninfo[2]
    return text
