# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drop or rename a database whatever sessions elsewhere hold it.

`ALTER ROLE CURRENT_USER IN DATABASE "another" SET …`, left open in a transaction, keeps a lock on somebody else's
database, and a DROP of it would wait for ever.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psycopg

from . import postgres
from .errors import TenantError

_PATIENCE_S = 0.3
_EVERY_S = 0.2
# Autovacuum's processes have no role, and make way by themselves.
_TERMINATE = """
SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s)) AS b(pid)
  JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
 WHERE a.usename IS NOT NULL AND a.usename <> current_user
"""


@contextlib.contextmanager
def making_way(connection: psycopg.Connection, cluster: postgres.Cluster) -> Iterator[None]:
    """While a statement of *connection* waits for a lock, end the sessions of tenants that hold it."""
    done, pid = threading.Event(), connection.info.backend_pid
    watcher = threading.Thread(target=_watch, args=(cluster, pid, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(cluster: postgres.Cluster, pid: int, done: threading.Event) -> None:
    if done.wait(_PATIENCE_S):
        return
    with contextlib.suppress(TenantError, psycopg.Error), postgres.connect(cluster) as watching:
        while not done.wait(_EVERY_S):
            watching.execute(_TERMINATE, [pid])
