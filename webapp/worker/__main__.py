"""`python -m webapp.worker`: answer doorbells until SIGTERM, whatever happens to the control database meanwhile."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import structlog
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from webapp import log as logging_setup
from webapp.config import Settings, settings
from webapp.db import make_engine, make_sessions
from webapp.worker import environment, reaper, workplace
from webapp.worker.checker import Checker
from webapp.worker.chores import Chores
from webapp.worker.final_backups import FinalBackups
from webapp.worker.hosts import Server, Shutdown
from webapp.worker.keeper import Keeper
from webapp.worker.queue import THREADS, Beside, Queue
from webapp.worker.runner import fork_server_environment
from webapp.worker.sampler import Sampler
from webapp.worker.warm import Warm

AGAIN_S = 1.0
# Of a statement; some chores touch many rows.
PATIENCE_S = 30.0
# How it shows that the control database is away for a while.
LOST = (ConnectorException, SQLAlchemyError, psycopg.Error, OSError)

log = structlog.get_logger("webapp.worker")


class Program:
    """The worker as a process: it starts over when the queue is lost, and ends when it is told to."""

    def __init__(self, configured: Settings) -> None:
        self.settings = configured
        self.shutdown = Shutdown()
        self.queue: Queue | None = None
        self.sessions: sessionmaker[Session] = make_sessions(
            make_engine(configured.database_url.get_secret_value(), patience_s=PATIENCE_S)
        )

    async def run(self) -> None:
        """Sweep up after dead workers, then answer doorbells until the shutdown."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="worker"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        dead = workplace.sweep(self.settings.home)
        place = workplace.Workplace(self.settings.home)
        warm = Warm(place.folder, fork_server_environment(), environment.inventory(self.settings.inventory))
        warm.start()
        server = self._server(place, warm)
        beside = (Chores(server.sessions), Sampler(server), Checker(server), Keeper(server), FinalBackups(server))
        try:
            while not self.shutdown.asked:
                await self._work(server, beside, dead)
        finally:
            for helper in beside:
                helper.close()
            warm.close()
            place.close()

    async def _work(self, server: Server, beside: Sequence[Beside], dead: list[int]) -> None:
        """One connection to the queue, for as long as it lasts."""
        try:
            await asyncio.to_thread(self._reap, dead)
            self.queue = Queue(server, beside)
            if not self.shutdown.asked:
                await self.queue.run()
        except LOST as error:
            log.warning("queue_lost", error=type(error).__name__)
        if not self.shutdown.asked:
            await asyncio.to_thread(self.shutdown.event.wait, AGAIN_S)

    def stop(self) -> None:
        """Finish the runs under way if they are short, and go."""
        log.info("worker_stopping")
        self.shutdown.ask()
        if self.queue is not None:
            self.queue.stop()

    def _reap(self, dead: list[int]) -> None:
        with self.sessions() as session:
            reaper.reap(session, self.settings.stalled_after_s, dead)
            session.commit()

    def _server(self, place: workplace.Workplace, warm: Warm) -> Server:
        worker = f"{socket.gethostname()}:{os.getpid()}"
        return Server(self.settings, self.sessions, place, self.shutdown, worker, warm.socket)


def main() -> None:
    """Read the settings, forget their secrets' places, work."""
    logging_setup.configure()
    configured = settings()
    environment.forget_secrets()
    Path(configured.home).mkdir(mode=0o755, parents=True, exist_ok=True)
    log.info("worker_started", pid=os.getpid(), threads=threading.active_count())
    asyncio.run(Program(configured).run())
    log.info("worker_stopped")


if __name__ == "__main__":
    main()
