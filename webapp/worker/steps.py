"""Write a run's steps as they happen, for whoever watches; a step that cannot be written delays nothing."""

import uuid
from collections.abc import Mapping
from typing import Any

import psycopg
import structlog

from webapp.db import connect

log = structlog.get_logger(__name__)

BEGIN = """
    WITH step AS (
        INSERT INTO run_steps (run_id, number, name, state) VALUES (%(run)s, %(number)s, %(name)s, 'running')
    )
    UPDATE runs SET step = %(number)s, step_name = %(name)s, bytes_done = NULL, bytes_total = NULL,
        steps_total = greatest(steps_total, %(number)s, %(total)s)
    WHERE id = %(run)s AND state = 'running'
"""
BYTES = "UPDATE runs SET bytes_done = %(done)s, bytes_total = %(total)s WHERE id = %(run)s AND state = 'running'"
END = "UPDATE run_steps SET state = %(state)s, ended_at = now() WHERE run_id = %(run)s AND number = %(number)s"


class Steps:
    """The steps of one run, over a short connection of their own that never waits for the disk."""

    def __init__(self, url: str, run_id: uuid.UUID, total: int) -> None:
        self._url = url
        self._run = run_id
        self._total = total
        self._connection: psycopg.Connection[Any] | None = None
        self.number = 0
        self.name: str | None = None

    def begin(self, name: str) -> None:
        """A task has started."""
        self.number += 1
        self.name = name
        self._write(BEGIN, {"name": name, "total": self._total})

    def end(self, state: str) -> None:
        """The task has ended on the host."""
        self._write(END, {"state": state})

    def expect(self, tasks: int) -> None:
        """That many tasks more are to come."""
        self._total += tasks

    def count_bytes(self, done: int, total: int | None) -> None:
        """How far the step that is under way is."""
        self._write(BYTES, {"done": done, "total": total})

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, statement: str, values: Mapping[str, Any]) -> None:
        try:
            if self._connection is None:
                self._connection = connect(self._url, autocommit=True, options="-c synchronous_commit=off")
            self._connection.execute(statement, {"run": self._run, "number": self.number, **values})
        except psycopg.Error as error:
            log.warning("step_not_written", run_id=str(self._run), error=type(error).__name__)
            self.close()


class Unwatched(Steps):
    """The steps of a run that no operation asked for: they are counted, and none is written."""

    def __init__(self) -> None:
        super().__init__("", uuid.uuid4(), 0)

    def _write(self, statement: str, values: Mapping[str, Any]) -> None:
        """Nobody watches."""
