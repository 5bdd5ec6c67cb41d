"""What a worker asks of the queue while the database is away."""

import asyncio
from typing import Any

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager

from webapp.worker import patient_jobs
from webapp.worker.patient_jobs import PatientJobs


def test_a_worker_that_ends_does_not_wait_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection can swallow the cancellation; then nothing but this ends the listener."""
    tried = []

    async def listen(self: JobManager, **_: Any) -> None:
        tried.append(1)
        raise ConnectorException from psycopg.OperationalError("it is away")

    async def notified(**_: Any) -> None:
        """Never."""

    monkeypatch.setattr(JobManager, "listen_for_jobs", listen)
    monkeypatch.setattr(patient_jobs, "AGAIN_S", 0)
    jobs = PatientJobs(None)  # type: ignore[arg-type]
    jobs.stopping = lambda: len(tried) >= 3
    asyncio.run(asyncio.wait_for(jobs.listen_for_jobs(on_notification=notified), 60))
    assert len(tried) == 3
