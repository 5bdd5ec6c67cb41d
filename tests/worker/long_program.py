"""The real worker, with a long kind of the tests' own: `python -m tests.worker.long_program PLAYBOOK`."""

from functools import partial
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.worker.program import run
from webapp.models import Database, Operation
from webapp.services import long_operations
from webapp.worker.long.job import Done, LongJob, Refused
from webapp.worker.long.kinds import WORK
from webapp.worker.report import Failure, failed_run

PLAYBOOK = str(Path(__file__).parent / "pretend" / "long.yml")


def work(job: LongJob) -> Done:
    """Play twice what the operation asks for, or fail as it asks."""
    if job.operation.params.get("refuse"):
        raise Refused(Failure("AGENT_ERROR", "It was asked to fail.", retryable=False))
    if job.operation.params.get("break"):
        raise ZeroDivisionError("a value that nobody may see")
    words = [word(job, 1), word(job, 2)]
    return Done(words, partial(note, database_id=job.operation.database_id, words=words))


def word(job: LongJob, number: int) -> str:
    """What one play reported."""
    outcome = job.play(PLAYBOOK, job.operation.params.get("host", "local"), {"pretend_word": f"word-{number}"})
    if not outcome.ok:
        raise Refused(failed_run(outcome.failed_step))
    return str(outcome.reports["Report the work"]["msg"])


def note(session: Session, *, database_id: object, words: list[str]) -> None:
    """What the work brought, for the row."""
    session.execute(update(Database).where(Database.id == database_id).values(display_name=" ".join(words)))


@long_operations.when_ended("test.long")
def ended(session: Session, operation: Operation) -> None:
    """Leave a trace of the hook."""
    operation.database.size_bytes += 1


WORK["test.long"] = work

if __name__ == "__main__":
    run()
