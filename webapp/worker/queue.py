"""The worker's end of the queue: answer doorbells, keep a heartbeat, look after what others left behind."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from procrastinate import App, JobContext
from procrastinate.worker import Worker
from sqlalchemy.exc import SQLAlchemyError

from webapp.services import doorbell
from webapp.worker import patient_jobs, reaper
from webapp.worker.hosts import Server
from webapp.worker.long.carrier import Carrier
from webapp.worker.long.fairness import AT_ONCE

HEARTBEAT_S = 1.0
TICK_S = 1.0
POLL_S = 0.25
HOSTS_AT_ONCE = 16
# For what is answered at once, the tick, and a little room.
THREADS = HOSTS_AT_ONCE + AT_ONCE + 4

log = structlog.get_logger(__name__)


class Beside(Protocol):
    """What a worker looks after on a schedule of its own, in threads of its own."""

    def tick(self) -> None: ...

    def close(self) -> None: ...


class Queue:
    """One worker in the queue, until it is stopped: an outage of the control database ends neither it nor its work."""

    def __init__(self, server: Server, beside: Sequence[Beside]) -> None:
        self._server = server
        self._beside = beside
        self._carrier = Carrier(server)
        self._answering: set[int] = set()
        self._forgotten = reaper.Forgotten()
        self.app = self._make_app()
        # Procrastinate polls, since it may lose a notice that arrives while it fetches.
        self.worker: Any = Worker(
            self.app,
            queues=[doorbell.QUEUE],
            concurrency=HOSTS_AT_ONCE + AT_ONCE,
            fetch_job_polling_interval=POLL_S,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=reaper.FORGET_AFTER_S,
        )

    def _make_app(self) -> App:
        url, shutdown = self._server.settings.database_url.get_secret_value(), self._server.shutdown
        app = patient_jobs.make_app(url, lambda: shutdown.asked)
        app.task(name=doorbell.TASK, queue=doorbell.QUEUE, pass_context=True)(self.answer)
        app.task(name=doorbell.LONG_TASK, queue=doorbell.QUEUE, pass_context=True)(self.carry)
        return app

    async def answer(self, context: JobContext, host_id: str) -> None:
        """A host's doorbell rang: serve it."""
        await self._in_thread(context, self._server.serve, uuid.UUID(host_id))

    async def carry(self, context: JobContext, operation_id: str) -> None:
        """A long operation's doorbell rang: carry it."""
        await self._in_thread(context, self._carrier.carry, uuid.UUID(operation_id))

    async def _in_thread(self, context: JobContext, work: Callable[[uuid.UUID, int], None], subject: uuid.UUID) -> None:
        """Work in a thread, so that the heartbeat goes on."""
        job_id = context.job.id or 0
        self._answering.add(job_id)
        try:
            await asyncio.to_thread(work, subject, job_id)
        finally:
            self._answering.discard(job_id)

    async def run(self) -> None:
        """Work until stopped. Raises when the queue cannot be reached."""
        async with self.app.open_async():
            tick = asyncio.create_task(self._ticks())
            try:
                await self.worker.run()
            finally:
                tick.cancel()
                await asyncio.gather(tick, return_exceptions=True)

    def stop(self) -> None:
        """Take no more doorbells; `run` returns when those under way are answered."""
        self.worker.stop()

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await asyncio.to_thread(self._guarded, self._tick)
            await asyncio.to_thread(self._guarded, self._carrier.tick)
            for helper in self._beside:
                await asyncio.to_thread(self._guarded, helper.tick)

    def _tick(self) -> None:
        """Each statement is cheap on an idle system; each works as well when it comes late."""
        worker_id = self.worker.worker_id
        with self._server.sessions() as session:
            reaper.reap(session, self._server.settings.stalled_after_s, own=worker_id, answering=set(self._answering))
            if worker_id is not None:
                self._forgotten.end(session, worker_id, set(self._answering))
                self._server.workplace.record(worker_id)
            reaper.ring_silent_hosts(session)
            session.commit()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except SQLAlchemyError as error:
            log.warning("tick_failed", error=type(error).__name__)
