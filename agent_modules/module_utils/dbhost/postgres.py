# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections of the provisioner: over the local socket, by peer, with the settings of a privileged session."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from .errors import TenantError

# An empty search_path: no name in a privileged session may resolve to an object that a tenant made.
# And a database that is read-only to its clients must take the provisioner's repairs.
_SETTINGS = (
    "default_transaction_read_only=off",
    "search_path=",
    "statement_timeout=120s",
    "lock_timeout=10s",
    "idle_in_transaction_session_timeout=60s",
)
_SESSION = " ".join(f"-c {setting}" for setting in _SETTINGS)

# out of resources, shutting down, connection lost, deadlock, object in use, lock not available, cancelled
_RETRYABLE = ("53", "57P0", "08", "40", "55006", "55P03", "57014")


@dataclass(frozen=True)
class Cluster:
    """Where the host's PostgreSQL is and who works in it."""

    socket_dir: str
    port: int
    provisioner: str
    maintenance_database: str = "postgres"


def connect(cluster: Cluster, database: str | None = None) -> psycopg.Connection:
    """An autocommit connection as the provisioner; raises TenantError if PostgreSQL does not take it."""
    try:
        return psycopg.connect(
            host=cluster.socket_dir,
            port=cluster.port,
            user=cluster.provisioner,
            dbname=database or cluster.maintenance_database,
            options=_SESSION,
            application_name="dbhost",
            connect_timeout=10,
            autocommit=True,
        )
    except psycopg.Error as error:
        raise explain(error, "connect to PostgreSQL") from None


class Session:
    """One connection for many statements; a broken one is replaced when it is next asked for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connection: psycopg.Connection | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._connection:
            self._connection.close()

    def connection(self) -> psycopg.Connection:
        """A live connection; raises TenantError if there is none to be had."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._cluster)
        return self._connection


def explain(error: psycopg.Error, step: str) -> TenantError:
    """*error* as a sentence. Its own text is left out: it can quote statements and with them verifiers."""
    if error.sqlstate is None:
        return TenantError("postgres_unavailable", "PostgreSQL cannot be reached.", retryable=True, step=step)
    return TenantError(
        "postgres_refused",
        f"PostgreSQL refused the change (SQLSTATE {error.sqlstate}, {type(error).__name__}).",
        retryable=error.sqlstate.startswith(_RETRYABLE),
        step=step,
    )
