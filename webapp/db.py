"""The control database: engine and sessions. Every libpq URL works, also with several hosts. Nothing waits for ever."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from webapp.notify import NOTED, AfterCommit

CONNECT_TIMEOUT_S = 3
# How long one statement may take in the web process: its people see a page within five seconds, whatever is away.
ANSWER_TIMEOUT_S = 4.0
# A connection of the pool is asked whether it still answers; when it does not, another is opened.
PING_PART = 0.25
# After an attempt to connect that failed, the next ones fail at once for this long: they would only queue up behind it.
REST_S = 0.5
# A peer that is gone without a word (a host that lost its power) is noticed by the kernel.
TCP: dict[str, Any] = {
    "keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 10_000
}  # fmt: skip
# How a lost connection, a full pool or a database that is away shows itself.
AWAY = (DBAPIError, PoolTimeout)

LOCK_TIMEOUT = "2s"
BOUND_WAIT = text("SELECT set_config('lock_timeout', :timeout, true)")
TRANSACTION = text(f"SELECT CAST(pg_current_xact_id_if_assigned() AS text) AS number, {NOTED} AS notices")
STATUS = text("SELECT pg_xact_status(CAST(:number AS xid8))")


class Connection(psycopg.Connection[Any]):
    """A connection on which no answer is waited for without an end; one that is overdue closes it."""

    patience_s: float | None = ANSWER_TIMEOUT_S

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg waits, for *patience_s* at most: a stopped pooler keeps its sockets open and says nothing."""
        try:
            return super().wait(gen, interval, timeout if timeout is not None else self.patience_s)
        except _WaitTimeout:
            if timeout is None:
                self.pgconn.finish()
                raise psycopg.OperationalError("the database did not answer in time") from None
            raise


class CommitLost(SQLAlchemyError):
    """The connection was lost during COMMIT. The change was carried out, or may have been; `outcome` looks again."""

    def __init__(self, outcome: Callable[[float], str | None]) -> None:
        super().__init__("The connection was lost while the change was being saved.")
        self.outcome = outcome


class ControlSession(Session):
    """A session that finds out what became of a COMMIT during which its connection was lost.

    `info["committed"]` says, for a request, that something was saved: from then on no error may deny it.
    """

    def commit(self) -> None:
        """Raises CommitLost when the change was saved, or may have been, although the connection is lost.

        Any other error of the database means that nothing was saved.
        """
        number = self._transaction_number()
        try:
            super().commit()
        except DBAPIError as error:
            if number is None or not is_away(error):
                raise
            self.close()  # and no rollback, which would expire what the caller still holds
            self._judge(number)
            raise
        if number is not None:
            self.info["committed"] = True

    def _transaction_number(self) -> str | None:
        """The number by which the transaction can be asked after, or None when it has changed nothing."""
        self.flush()
        if not self.in_transaction():
            return None
        number, self.info["notices"] = self.execute(TRANSACTION).one()
        return cast("str | None", number)

    def _judge(self, number: str) -> None:
        engine = cast(Engine, self.get_bind())

        def outcome(patience_s: float) -> str | None:
            return commit_status(engine, number, patience_s)

        if outcome(ANSWER_TIMEOUT_S) != "aborted":
            self.info["committed"] = True
            raise CommitLost(outcome)


def commit_status(engine: Engine, number: str, patience_s: float) -> str | None:
    """`committed` or `aborted`; None when the database cannot say so within *patience_s*."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with engine.connect() as connection:
                status = connection.scalar(STATUS, {"number": number})
            if status in ("committed", "aborted"):
                return cast(str, status)
        except AWAY:
            pass
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.1)


def is_away(error: Exception) -> bool:
    """Whether *error* says that the database cannot be reached, and nothing about the statement."""
    if isinstance(error, PoolTimeout):
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or (isinstance(error, OperationalError) and not _is_answer(error.orig))


def is_refusal(error: Exception) -> bool:
    """Whether the server ended a statement that took too long or waited for others, and goes on with the session."""
    return isinstance(error, DBAPIError) and _is_answer(error.orig)


def _is_answer(original: BaseException | None) -> bool:
    state = getattr(original, "sqlstate", None) or ""
    return state[:2] in ("55", "40") or state == "57014"


def connect(url: str, *, patience_s: float | None = ANSWER_TIMEOUT_S, **options: Any) -> Connection:
    """Open one connection to *url* as libpq reads it; each answer is waited for *patience_s* at most.

    Prepared statements are off: the control database may sit behind a transaction-pooling PgBouncer.
    """
    options = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "dbhost", **TCP, **options}
    connection = Connection.connect(url, prepare_threshold=None, **options)
    connection.patience_s = patience_s
    return connection


class Opener:
    """Opens an engine's connections. While the database is away one thread finds out, not all one after another."""

    def __init__(self, url: str, patience_s: float) -> None:
        self._url = url
        self._patience_s = patience_s
        self._failed_at = float("-inf")

    def __call__(self) -> Connection:
        if time.monotonic() - self._failed_at < REST_S:
            raise psycopg.OperationalError("the database could not be reached a moment ago")
        try:
            timeout = max(2, round(self._patience_s * (1 - PING_PART)))
            return connect(self._url, patience_s=self._patience_s, connect_timeout=timeout)
        except psycopg.OperationalError:
            self._failed_at = time.monotonic()
            raise


def make_engine(
    url: str, *, pool_size: int = 10, max_overflow: int = 20, patience_s: float = ANSWER_TIMEOUT_S
) -> Engine:
    """An engine whose connections are opened by libpq from *url*, untouched."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=Opener(url, patience_s),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_timeout=patience_s,
        hide_parameters=True,  # an error must not carry a verifier or an encrypted password into the log
    )
    engine.dialect.do_ping = _impatient(engine.dialect.do_ping, patience_s * PING_PART)  # type: ignore[method-assign,assignment]
    return engine


def _impatient(ping: Callable[[Any], bool], patience_s: float) -> Callable[[Any], bool]:
    """Whether a pooled connection still answers is a question of a moment."""

    def ask(dbapi_connection: Any) -> bool:
        usual, dbapi_connection.patience_s = dbapi_connection.patience_s, patience_s
        try:
            return ping(dbapi_connection)
        finally:
            dbapi_connection.patience_s = usual

    return ask


def bound_wait(session: Session) -> None:
    """From now on the transaction waits for no row longer than LOCK_TIMEOUT: a pooled connection waits with it."""
    session.execute(BOUND_WAIT, {"timeout": LOCK_TIMEOUT})


def give_back(session: Session) -> None:
    """End a transaction that has changed nothing yet, and give its connection back, before slow work without it."""
    if not (session.new or session.dirty or session.deleted):
        session.commit()


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after the commit that the route makes."""
    sessions: sessionmaker[Session] = sessionmaker(engine, class_=ControlSession, expire_on_commit=False)
    AfterCommit(sessions)
    return sessions


@contextmanager
def session_scope(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One session for one unit of work; whoever opens it commits, anything not committed is rolled back."""
    with sessions() as session:
        yield session
