"""Procrastinate's statements, which it ends a worker for when the control database is away; here they wait for it.

So one worker keeps its number in the queue, its threads and its doorbells through any outage.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, override

import psycopg
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, NotificationCallback
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout

from webapp.db import CONNECT_TIMEOUT_S, TCP
from webapp.notify import LOCK_TIMEOUT
from webapp.services import doorbell

PATIENCE_S = 10.0
AGAIN_S = 1.0
CONNECTIONS = 4
# Then the next statement tries anew: the pool's own pauses grow with the outage.
RECONNECT_S = 2.0
# One that others have pruned (it was silent for a minute) is there again.
HEARTBEAT = """
    INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE VALUES (%(worker_id)s, now())
    ON CONFLICT (id) DO UPDATE SET last_heartbeat = now()
"""
# A doorbell that waited for the lock of the one that ended would otherwise be found by the next look alone.
FREED = """
    SELECT set_config('lock_timeout', %(lock_timeout)s, true),
           pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
"""

log = structlog.get_logger(__name__)


class Connection(psycopg.AsyncConnection[Any]):
    """A connection on which no answer is waited for without an end, notices excepted."""

    patience_s: float | None = PATIENCE_S

    @override
    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return await super().wait(gen, interval, timeout if timeout is not None else self.patience_s)
        except _WaitTimeout:
            if timeout is None:
                self.pgconn.finish()
                raise psycopg.OperationalError("the database did not answer in time") from None
            raise

    @override
    def notifies(
        self, *, timeout: float | None = None, stop_after: int | None = None
    ) -> AsyncGenerator[psycopg.Notify]:
        self.patience_s = None
        return super().notifies(timeout=timeout, stop_after=stop_after)


class PatientJobs(JobManager):
    """What a worker asks of the queue; *stopping* says that the worker is to end, and waits no more."""

    stopping: Callable[[], bool] = staticmethod(lambda: False)

    @override
    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        return await self._or_later(super().fetch_job(queues, worker_id), "fetch")

    @override
    async def update_heartbeat(self, worker_id: int) -> None:
        await self._or_later(self.connector.execute_query_async(HEARTBEAT, worker_id=worker_id), "heartbeat")

    @override
    async def unregister_worker(self, worker_id: int) -> None:
        await self._or_later(super().unregister_worker(worker_id), "unregister")

    @override
    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """End it, once the database is there; a doorbell that somebody else has ended is gone."""
        while True:
            try:
                await super().finish_job(job, status, delete_job)
                return await self._tell_freed()
            except ConnectorException as error:
                log.warning("doorbell_not_ended", job_id=job.id, error=type(error.__cause__).__name__)
                if self.stopping() or not isinstance(error.__cause__, psycopg.OperationalError):
                    return None
            await asyncio.sleep(AGAIN_S)

    async def _tell_freed(self) -> None:
        """Wake workers for what waited for the lock; not in the transaction that freed it, which a full queue of
        notices would make fail."""
        try:
            await self.connector.execute_query_async(FREED, lock_timeout=LOCK_TIMEOUT, queue=doorbell.QUEUE)
        except ConnectorException as error:
            log.warning("notices_not_sent", error=type(error.__cause__).__name__)

    @override
    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Until it is cancelled, or the worker ends: a connection that is lost just then swallows the cancellation."""
        while not self.stopping():
            await self._or_later(super().listen_for_jobs(on_notification=on_notification, queues=queues), "listen")

    async def _or_later[R](self, asked: Awaitable[R], what: str) -> R | None:
        """What comes of it, or None after a pause when the database is away."""
        try:
            return await asked
        except ConnectorException as error:
            log.warning("queue_away", what=what, error=type(error.__cause__).__name__)
        await asyncio.sleep(0 if self.stopping() else AGAIN_S)
        return None


def make_app(url: str, stopping: Callable[[], bool]) -> App:
    """Procrastinate over connections that end, and statements that wait."""
    options = {"application_name": "dbhost-worker", "connect_timeout": CONNECT_TIMEOUT_S, **TCP}
    connector = PsycopgConnector(
        conninfo=url, kwargs=options, connection_class=Connection, min_size=1, max_size=CONNECTIONS, timeout=PATIENCE_S,
        reconnect_timeout=RECONNECT_S,
    )  # fmt: skip
    app = App(connector=connector)
    app.job_manager = PatientJobs(app.job_manager.connector)
    app.job_manager.stopping = stopping
    return app
