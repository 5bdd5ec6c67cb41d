# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A session that reads all of a tenant's database: as the tenant, or, where row security is forced, as the reader.

The reader has BYPASSRLS and nothing of its own. For the length of the session it is a member of the tenant role, which
it cannot become, in transactions that only read. What it may do in that database is what the tenant may; that policies
are not asked is what the tenant, who owns the tables, may decide for itself
(docs/decisions/0004-forced-row-security.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import errors, sql

from . import postgres
from .dump_user import DumpUser
from .errors import TenantError
from .session_options import READER
from .tenant_session import TenantSession

_IS_FORCED = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
# A name that was a table's in the snapshot can be a view's by now, and a view would run its owner's code.
_TABLES_ALONE = """
SELECT count(set_config(name, 'view, foreign-table', false)) FROM pg_settings
 WHERE name = 'restrict_nonsystem_relation_kind'
"""


@contextlib.contextmanager
def session(user: DumpUser, tenant: str, database: str | None = None) -> Iterator[TenantSession]:
    """A session in *database*, the tenant's own by default, to which no policy hides a row. Raises TenantError."""
    database = database or tenant
    with TenantSession(user, tenant, database) as own:
        if own.ask(_IS_FORCED, "Look for forced row security") == "0":
            yield own
            return
    with _member_of(user, tenant), TenantSession(user, READER, database) as reading:
        reading.ask(_TABLES_ALONE, "Refuse views")
        yield reading


@contextlib.contextmanager
def _member_of(user: DumpUser, tenant: str) -> Iterator[None]:
    """A kill leaves the membership, which gives nobody more than the OS user of dumps has: it may log in as both."""
    names = sql.Identifier(tenant), sql.Identifier(READER)
    _execute(user, sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE, ADMIN FALSE").format(*names))
    try:
        yield
    finally:
        _execute(user, sql.SQL("REVOKE {} FROM {}").format(*names))


def _execute(user: DumpUser, statement: sql.Composed) -> None:
    try:
        with postgres.connect(user.cluster) as connection:
            connection.execute(statement)
    except errors.UndefinedObject:
        message = (
            "Row security is forced on a table, and this host has no role yet that may read it."
            " Its operator sets it up with playbooks/host.yml; until then take FORCE ROW LEVEL SECURITY away."
        )
        raise TenantError("row_security_forced", message, step="Read what row security hides") from None
    except psycopg.Error as error:
        raise postgres.explain(error, "Read what row security hides") from None
