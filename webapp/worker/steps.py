"""Write a run's steps as they happen, for whoever watches; a step that cannot be written delays nothing.

Steps are held for a moment and written together: those of a short run cost one transaction instead of two each.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Any

import psycopg
import structlog

from webapp.db import connect

log = structlog.get_logger(__name__)

BEGIN = """
    WITH step AS (
        INSERT INTO run_steps (run_id, number, name, state, started_at)
        VALUES (%(run)s, %(number)s, %(name)s, 'running', clock_timestamp() - make_interval(secs => %(ago)s))
    )
    UPDATE runs SET step = %(number)s, step_name = %(name)s, bytes_done = NULL, bytes_total = NULL,
        steps_total = greatest(steps_total, %(number)s, %(total)s)
    WHERE id = %(run)s AND state = 'running'
"""
BYTES = "UPDATE runs SET bytes_done = %(done)s, bytes_total = %(total)s WHERE id = %(run)s AND state = 'running'"
END = """
    UPDATE run_steps SET state = %(state)s, ended_at = clock_timestamp() - make_interval(secs => %(ago)s)
    WHERE run_id = %(run)s AND number = %(number)s
"""
HOLD_S = 0.4


class Steps:
    """The steps of one run, over a short connection of their own that never waits for the disk."""

    def __init__(self, url: str, run_id: uuid.UUID, total: int) -> None:
        self._url = url
        self._run = run_id
        self._total = total
        self._connection: psycopg.Connection[Any] | None = None
        self._held: list[tuple[float, str, Mapping[str, Any]]] = []
        self._written_at = time.monotonic()
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

    def write_due(self) -> None:
        """Write what has been held for long enough. Called often while the run is under way."""
        if self._held and time.monotonic() - self._written_at > HOLD_S:
            self._write_held()

    def close(self) -> None:
        """Write what is held, and give the connection back."""
        if self._held:
            self._write_held()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, statement: str, values: Mapping[str, Any]) -> None:
        self._held.append((time.monotonic(), statement, {"run": self._run, "number": self.number, **values}))
        self.write_due()

    def _write_held(self) -> None:
        held, self._held, self._written_at = self._held, [], time.monotonic()
        try:
            if self._connection is None:
                self._connection = connect(self._url, autocommit=True)
            with self._connection.pipeline(), self._connection.transaction():
                self._connection.execute("SET LOCAL synchronous_commit = off")
                for at, statement, values in held:
                    self._connection.execute(statement, {**values, "ago": time.monotonic() - at})
        except psycopg.Error as error:
            log.warning("step_not_written", run_id=str(self._run), error=type(error).__name__)
            self._disconnect()


class Unwatched(Steps):
    """The steps of a run that no operation asked for: they are counted, and none is written."""

    def __init__(self) -> None:
        super().__init__("", uuid.uuid4(), 0)

    def _write(self, statement: str, values: Mapping[str, Any]) -> None:
        """Nobody watches."""
