# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of one statement of a dump, and what may become of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

_TOKENS = re.compile(
    rb"(?:\s++|--[^\n\r]*+|/\*.*?\*/)"
    rb"|(?P<string>[eE]'(?:[^'\\]|\\.|'')*+'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*+')"
    rb'|(?P<name>(?:[uU]&)?"(?:[^"]|"")*+")'
    rb"|(?P<dollar>(\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?\$).*?\4)"
    rb"|(?P<word>[A-Za-z_\x80-\xff][\w$\x80-\xff]*+)|(?P<other>[0-9]++|.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A word (folded as PostgreSQL does), a quoted name, a string, or a sign."""

    kind: str
    text: str

    def __eq__(self, other: object) -> bool:
        return other == self.text if isinstance(other, str) and self.kind in ("word", "other") else False

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(frozen=True)
class Target:
    """What there is where the dump goes: what its role may create, and what the server knows."""

    extensions: Collection[str] = ()
    settings: Collection[str] = ()
    roles: Collection[str] = ()


@dataclass
class Known:
    """What was decided before and matters for later statements of the same file."""

    target: Target
    something_made: bool = False
    gone: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True)
class Decision:
    """*skipped*: what was left out, in the words of SQL. *instead*: what is sent in its place."""

    skipped: str | None = None
    instead: bytes | None = None
    copies_in: bool = False
    makes: bool = True


PASS, QUIET = Decision(), Decision(makes=False)


def tokens(statement: bytes, limit: int = 1 << 30) -> list[Token]:
    """The first *limit* tokens of *statement*, without blanks and comments."""
    listed: list[Token] = []
    for found in _TOKENS.finditer(statement):
        if len(listed) >= limit:
            break
        kind = found.lastgroup
        if kind == "word":
            listed.append(Token("word", found[0].decode("utf-8", "replace").lower()))
        elif kind == "name":
            listed.append(Token("name", _unquoted(found[0], '"')))
        elif kind == "string":
            listed.append(
                Token("string", found[0].decode("utf-8", "replace").partition("'")[2][:-1].replace("''", "'"))
            )
        elif kind:
            listed.append(Token(kind, found[0].decode("utf-8", "replace")))
    return listed


def _unquoted(text: bytes, quote: str) -> str:
    return text.decode("utf-8", "replace").partition(quote)[2][:-1].replace(quote * 2, quote)


def has_comma(listed: list[Token]) -> bool:
    depth = 0
    for part in listed:
        depth += (part == "(") - (part == ")")
        if part == "," and depth == 0:
            return True
    return False
