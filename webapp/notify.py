"""Send NOTIFY after the commit, never within it.

All databases of a cluster share one queue of notifications, and whoever fills it makes each commit with a NOTIFY fail.
So the triggers of the control database only note what is to be told (`dbhost_note`, in a setting of the transaction),
and a session tells it once its commit has succeeded. That may fail: whoever waits looks again by itself after a while.
"""

import time
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

CHANNEL = "dbhost_changes"
EVERYBODY = "*"
# As long as a commit may wait for others' notifications; after a failure nothing is sent for a while.
LOCK_TIMEOUT = "250ms"
SILENCE_S = 1.0

NOTED = "current_setting('dbhost.notices', true)"
NOTED_AT_MOST = 8000
# One statement, so that its timeout holds for its own commit too, in which the queue is locked.
BOUNDED = "SELECT set_config('lock_timeout', %s, true)"
SEND = BOUNDED + ", pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS noted (channel, payload)"

log = structlog.get_logger(__name__)


class AfterCommit:
    """Tells what the transactions of *sessions* noted; a session reads that into `info["notices"]` before it commits.

    The connection is the one that committed, idle by then.
    """

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._silent_until = 0.0
        for name in ("after_begin", "after_commit"):
            event.listen(sessions, name, getattr(self, f"_{name}"))

    def _after_begin(self, session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
        session.info["connection"] = connection

    def _after_commit(self, session: Session) -> None:
        if session.in_nested_transaction():  # a savepoint
            return
        notices, connection = session.info.pop("notices", None), session.info.pop("connection", None)
        if notices and connection is not None and time.monotonic() >= self._silent_until:
            self._tell(connection.connection.driver_connection, notices)

    def _tell(self, connection: psycopg.Connection[Any], notices: str) -> None:
        try:
            connection.autocommit = True
            try:
                connection.execute(SEND, (LOCK_TIMEOUT, *parsed(notices)))
            finally:
                if not connection.closed:
                    connection.autocommit = False
        except psycopg.Error as error:
            self._silent_until = time.monotonic() + SILENCE_S
            log.warning("notices_not_sent", error=type(error).__name__)


def parsed(notices: str) -> tuple[list[str], list[str]]:
    """Channels and payloads, by lines."""
    told = [line.partition(" ")[::2] for line in notices.splitlines()]
    if len(notices) >= NOTED_AT_MOST:  # something was left out
        told.append((CHANNEL, EVERYBODY))
    return [channel for channel, _ in told], [payload for _, payload in told]
