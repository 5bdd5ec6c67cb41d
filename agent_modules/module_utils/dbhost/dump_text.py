# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A dump as the SQL that psql will be given: decrypted, decompressed, bounded, and not cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO

from . import dump_codec, dump_files
from .dumping import FOOTER
from .errors import TenantError
from .jobs import Progress

HEADER = b"-- PostgreSQL database dump\n"
_HEAD = 64 * 1024
_TAIL = 4096
_ARCHIVE = b"PGDMP"
# A dump that was compressed twice is read, one that was compressed a hundred times is an attack.
_LAYERS = 3
_UTF_16 = "The file is UTF-16 text, as PowerShell's `>` makes, which may damage what is in it. Use `pg_dump -f`."
_OTHERS = {
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"-\0": _UTF_16,
    b"\0-": _UTF_16,
    b"PK\x03\x04": "The file is a zip archive. Unpack it and send the dump that is in it.",
    b"SQLite format 3": "The file is a database of SQLite, not a dump of PostgreSQL.",
    b"\x04\x22\x4d\x18": "The file is compressed with lz4. Send it as .gz, .zst or uncompressed.",
}
_OTHER_TAR = (
    "The file is a tar archive, but not one of `pg_dump --format=tar`: perhaps a packed folder of"
    " `pg_dump --format=directory`. Send a dump of --format=custom or --format=plain."
)
_TAR_MARK = slice(257, 262)
# pg_dump since August 2025 puts psql in restricted mode under a key of its own; we do that under one of ours.
_RESTRICT = re.compile(rb"((?:--[^\n]*\n|[ \t\r]*\n)*)\\restrict ([A-Za-z0-9]{1,128})\r?\n")


@dataclass(frozen=True)
class Opened:
    """A dump ready to be read: SQL, or an archive for pg_restore."""

    kind: str
    chunks: Iterator[bytes]


def opened(file: IO[bytes], identity: str | None, wanted: str, progress: Progress) -> Opened:
    """Look at how *file* begins and undo age and gzip. Raises TenantError if it is not what *wanted* says."""
    chunks = _read(file, progress)
    head, chunks = _peek(chunks)
    if dump_codec.is_age(head):
        file.seek(0)
        head, chunks = _peek(dump_codec.decrypted(file, identity))
    gzipped = dump_codec.is_gzip(head)
    for _ in range(_LAYERS):
        inner = dump_codec.unpacked(head, chunks)
        if inner is None:
            break
        head, chunks = _peek(inner)
    archive = head.startswith(_ARCHIVE) or head[_TAR_MARK] == b"ustar"
    kind = "custom" if archive else "plain_gzip" if gzipped else "plain"
    if wanted not in ("auto", kind):
        raise TenantError("wrong_format", "The file is of another format than it was said to be.")
    require_known(head, is_archive=archive)
    return Opened(kind, chunks)


def require_known(head: bytes, *, is_archive: bool) -> None:
    """Raise TenantError, with what to do, for a file that begins with *head* and is neither SQL nor an archive."""
    if is_archive:
        if head[_TAR_MARK] == b"ustar" and not head.startswith((b"toc.dat\0", b"restore.sql\0")):
            raise TenantError("unknown_format", _OTHER_TAR)
        return
    for magic, told in _OTHERS.items():
        if head.startswith(magic):
            raise TenantError("unknown_format", told)
    if not head.strip() or b"\0" in head:
        raise TenantError("not_a_dump", "The file is no dump: neither SQL nor an archive of pg_dump.")


def bounded(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """*chunks*, until there are more than *limit* bytes of them: a small file can hold terabytes."""
    taken = 0
    for chunk in chunks:
        taken += len(chunk)
        if taken > limit:
            raise TenantError("too_large", f"The dump is larger than {limit} bytes when it is unpacked.")
        yield chunk


def unrestricted(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """*chunks* without the restricted mode that pg_dump wrote around them; psql has been put into ours."""
    head, rest = _peek(chunks, _HEAD)
    found = _RESTRICT.match(head)
    if found is None:
        yield from rest
        return
    end, kept = b"\n\\unrestrict " + found[2], b""
    for chunk in _after(rest, found.end()):
        data = (kept + chunk).replace(end, b"\n")
        kept = data[-len(end) :]
        yield data[: -len(end)]
    yield kept


def whole(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """*chunks*; raises TenantError at the end if they begin as pg_dump's and do not end so."""
    head, rest = _peek(chunks, _HEAD)
    tail = b""
    for chunk in rest:
        tail = (tail + chunk)[-_TAIL:]
        yield chunk
    if HEADER in head and FOOTER not in tail.replace(b"\r\n", b"\n"):
        raise TenantError("incomplete_dump", "The dump has no end: the file was cut off.")


def _after(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """*chunks* without the first *count* bytes, which are all in the first of them."""
    yield next(chunks)[count:]
    yield from chunks


def _peek(chunks: Iterator[bytes], count: int = 1024) -> tuple[bytes, Iterator[bytes]]:
    """The first *count* bytes or a few more, and all of them again, joined to one chunk."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= count:
            break
    return head, chain([head], chunks)


def _read(file: IO[bytes], progress: Progress) -> Iterator[bytes]:
    while chunk := file.read(dump_files.CHUNK):
        progress.add(len(chunk))
        yield chunk
