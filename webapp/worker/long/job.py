"""What the function of a long operation works with: the operation, sessions, and playbooks to play in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session, sessionmaker

from webapp.config import Settings
from webapp.models import Operation
from webapp.services.ansible_data import NotData
from webapp.worker import environment, task_count
from webapp.worker.hosts import Server
from webapp.worker.report import AGENT_ERROR, Failure, failed_run
from webapp.worker.runner import Job, Outcome
from webapp.worker.steps import Steps

TIMEOUT_S = 6 * 3600.0
NOT_DATA = Failure(AGENT_ERROR, "What is stored about this backup is damaged.", retryable=False)


class Refused(Exception):
    """The operation cannot succeed, now or (when not retryable) ever; a sentence without secrets says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Unreachable(Exception):
    """A host the operation needs does not answer: it waits and is tried again."""


class Stopped(Exception):
    """The play was ended early: `cancel`, `shutdown` or `timeout`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Done:
    """What was done; *record* writes what it brought, in the transaction that ends the operation, under its fence."""

    changes: list[str] = field(default_factory=list)
    record: Callable[[Session], None] = lambda _session: None


@dataclass
class LongJob:
    """One try of a long operation. Everything that *operation* and its database say is as it was when claimed."""

    operation: Operation
    fence: int
    server: Server
    stop: Callable[[], str | None]
    steps: Steps

    @property
    def settings(self) -> Settings:
        """The worker's."""
        return self.server.settings

    @property
    def sessions(self) -> sessionmaker[Session]:
        """Sessions on the control database."""
        return self.server.sessions

    def play(
        self,
        playbook: str,
        host: str,
        variables: Mapping[str, Any],
        *,
        timeout_s: float = TIMEOUT_S,
        expected: bool = False,
    ) -> Outcome:
        """Play `playbooks/<playbook>` on *host*, its steps shown as the operation's; `expect` counted *expected* ones.

        Raises Unreachable or Stopped. A play that failed is for the caller to judge: `outcome.ok`, `outcome.reports`,
        `report_of`, `failed_run`.
        """
        if not expected:
            self.expect(playbook)
        job = Job(environment.PLAYBOOKS / playbook, host, dict(variables), timeout_s)
        try:
            outcome = self.server.play(job, self.steps, self.stop)
        except NotData:
            raise Refused(NOT_DATA) from None
        if outcome.stopped is not None:
            raise Stopped(outcome.stopped)
        if outcome.unreachable:
            raise Unreachable
        return outcome

    def expect(self, *playbooks: str) -> None:
        """Count the steps of what will be played, so that "step n of m" is right from the start."""
        for playbook in playbooks:
            self.steps.expect(task_count.count(environment.PLAYBOOKS / playbook, environment.ROLES))

    def check_stop(self) -> None:
        """Raise Stopped when the operation is to end early; for the time between plays."""
        reason = self.stop()
        if reason is not None:
            raise Stopped(reason)


def report_of[Model: BaseModel](outcome: Outcome, task: str, key: str, model: type[Model]) -> Model:
    """What the task *task* returned under *key*, field by field. Raises Refused (retryable) when it is not there."""
    try:
        return model.model_validate(outcome.reports.get(task, {}).get(key))
    except ValidationError:
        raise Refused(failed_run(outcome.failed_step)) from None


type Work = Callable[[LongJob], Done]
