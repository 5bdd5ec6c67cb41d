# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Load once more what could not be loaded for want of a search_path: dumps from elsewhere, backups of older versions.

pg_dump names everything with its schema and empties the search_path; a CHECK whose function does not name its own is
then never satisfied. With the schemas of the first try in the path it is, and means the same to all the rest. Dumps of
ours bring what they need (search_paths.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from . import dollar_quotes
from .dump_user import DumpUser
from .errors import TenantError
from .tenant_session import TenantSession

_HEAD = 64 * 1024
_EMPTIED = b"SELECT pg_catalog.set_config('search_path', '', false);"
# What is not found: a function, a table, a type or operator, a schema.
_NOT_FOUND = re.compile(r"SQLSTATE (42883|42P01|42704|3F000)")
_SCHEMAS = """
SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_namespace
 WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
"""


def may_help(error: TenantError) -> bool:
    """Whether the dump failed on something that it did not find."""
    return error.code == "restore_failed" and _NOT_FOUND.search(error.message) is not None


def search_path(user: DumpUser, tenant: str, database: str) -> list[str]:
    """All schemas that the first try has made in *database*, `public` before them."""
    with TenantSession(user, tenant, database) as session:
        return ["public", *json.loads(session.ask(_SCHEMAS, "Read the schemas"))]


def with_path(text: Iterator[bytes], path: Sequence[str]) -> Iterator[bytes]:
    """*text* of pg_dump, whose search_path is *path* where it is emptied."""
    head = b""
    for chunk in text:
        head += chunk
        if len(head) >= _HEAD:
            break
    listed = ", ".join(dollar_quotes.identifier(name) for name in path).replace("'", "''")
    given = _EMPTIED.replace(b"''", f"'{listed}'".encode())
    yield from chain([head.replace(_EMPTIED, given, 1)], text)
