# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The provisioner's way into a tenant's database, also when the tenant has taken all of its connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import sql

from . import postgres
from .errors import TenantError

_ROOM = 10
_LIMIT = "SELECT d.datconnlimit FROM pg_catalog.pg_database AS d WHERE d.datname = %s AND d.datconnlimit >= 0"
_ALTER = "ALTER DATABASE {} CONNECTION LIMIT {}"


@contextlib.contextmanager
def enter(cluster: postgres.Cluster, database: str) -> Iterator[psycopg.Connection]:
    """A connection inside *database* for as long as the block lasts. Raises TenantError."""
    with connect(cluster, database) as connection:
        yield connection


def connect(cluster: postgres.Cluster, database: str) -> psycopg.Connection:
    """A connection inside *database*; raises TenantError.

    Its limit counts us too. It has more room for the moment in which we come in; a kill in between leaves that to
    the next converge, which sees the limit.
    """
    try:
        return postgres.connect(cluster, database)
    except TenantError as error:
        if not error.retryable:
            raise
    with postgres.connect(cluster) as outside:
        row = outside.execute(_LIMIT, [database]).fetchone()
        if row is None:
            return postgres.connect(cluster, database)
        _limit(outside, database, row[0] + _ROOM)
        try:
            return postgres.connect(cluster, database)
        finally:
            _limit(outside, database, row[0])


def _limit(connection: psycopg.Connection, database: str, limit: int) -> None:
    connection.execute(sql.SQL(_ALTER).format(sql.Identifier(database), sql.Literal(limit)))
