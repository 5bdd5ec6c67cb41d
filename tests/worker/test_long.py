"""Long operations by real workers: beside the converge of their host, bounded, cancelled, taken over, put off."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.support.rows import create_many, make_database, make_operation, make_user
from tests.worker.conftest import Worker, Workers, wait_until
from tests.worker.test_kill import kill
from webapp.models import Host, Operation
from webapp.services import doorbell, operations
from webapp.services.actors import SYSTEM
from webapp.worker.long import fairness

Asked = Callable[..., Operation]


@pytest.fixture
def ask(session: Session, host: Host) -> Asked:
    """Queue a long operation of the tests' kind on a database of its own."""

    def queue(**params: object) -> Operation:
        database = make_database(session, host, make_user(session), status="active", size_bytes=0)
        operation = make_operation(session, database, "test.long", lane="long", params=params)
        doorbell.ring_for(session, operation)
        session.commit()
        return operation

    return queue


def start(workers: Workers) -> Worker:
    return workers.start(program="tests.worker.long_program")


def is_(session: Session, operation: Operation, state: str) -> Callable[[], bool]:
    def holds() -> bool:
        session.rollback()
        session.refresh(operation)
        return operation.state == state

    return holds


def test_its_plays_are_one_run_and_what_it_brought_is_kept_with_its_end(
    workers: Workers, session: Session, ask: Asked
) -> None:
    start(workers)
    operation = ask()
    wait_until(is_(session, operation, "succeeded"))
    assert operation.changes == ["word-1", "word-2"]
    session.refresh(operation.database)
    assert (operation.database.display_name, operation.database.size_bytes) == ("word-1 word-2", 1)
    assert operation.run is not None
    session.refresh(operation.run)
    assert (operation.run.lane, operation.run.state, operation.run.step, operation.run.steps_total) == (
        "long", "succeeded", 4, 4,
    )  # fmt: skip


def test_the_converge_of_its_host_goes_on_beside_it_and_its_bytes_are_seen(
    workers: Workers, session: Session, host: Host, ask: Asked
) -> None:
    workers.flag("long-wait").touch()
    start(workers)
    operation = ask()
    wait_until(workers.flag("long-entered").exists)
    (create,) = create_many(session, host, 1)
    wait_until(is_(session, create, "succeeded"))

    def counted() -> bool:
        session.rollback()
        session.refresh(operation)
        if operation.run is not None:
            session.refresh(operation.run)
        progress = operations.progress(operation)
        return progress.bytes_total == 1000 and (progress.bytes_done or 0) >= 20

    wait_until(counted)
    assert is_(session, operation, "running")()
    workers.flag("long-wait").unlink()
    wait_until(is_(session, operation, "succeeded"))


@pytest.mark.parametrize(
    ("params", "message"),
    [({"refuse": True}, "It was asked to fail."), ({"break": True}, "The worker met an error of its own.")],
)
def test_a_failure_is_its_own(
    workers: Workers, session: Session, ask: Asked, params: dict[str, object], message: str
) -> None:
    start(workers)
    operation, well = ask(**params), ask()
    wait_until(is_(session, well, "succeeded"))

    def told() -> bool:
        session.rollback()
        session.refresh(operation)
        return operation.error_message == message

    wait_until(told)
    assert operation.state in (("failed",) if "refuse" in params else ("queued", "running"))
    session.refresh(operation.database)
    assert operation.database.status == "active"
    assert operation.database.size_bytes == (1 if "refuse" in params else 0)
    assert "nobody may see" not in workers.log.read_text()


def test_an_unreachable_host_is_waited_for(workers: Workers, session: Session, ask: Asked) -> None:
    start(workers)
    operation = ask(host="away")

    def waits() -> bool:
        session.rollback()
        session.refresh(operation)
        return operation.error_code == "HOST_UNAVAILABLE" and operation.state == "queued"

    wait_until(waits)


def test_a_cancel_ends_it(workers: Workers, session: Session, ask: Asked) -> None:
    workers.flag("long-wait").touch()
    start(workers)
    operation = ask()
    wait_until(workers.flag("long-entered").exists)
    operations.cancel_operation(session, SYSTEM, operation.id)
    session.commit()
    wait_until(is_(session, operation, "cancelled"))
    session.refresh(operation.database)
    assert (operation.database.status, operation.database.size_bytes) == ("active", 1)


def test_one_that_was_never_begun_is_cancelled_at_once(session: Session, ask: Asked) -> None:
    operation = ask()
    cancelled = operations.cancel_operation(session, SYSTEM, operation.id)
    assert cancelled.state == "cancelled"


def test_a_killed_workers_is_taken_over(workers: Workers, session: Session, ask: Asked) -> None:
    workers.flag("long-wait").touch()
    first = start(workers)
    operation = ask()
    wait_until(workers.flag("long-entered").exists)
    kill(first)
    workers.flag("long-entered").unlink()
    start(workers)
    wait_until(workers.flag("long-entered").exists)
    workers.flag("long-wait").unlink()
    wait_until(is_(session, operation, "succeeded"))
    assert operation.attempt == 2
    session.refresh(operation.database)
    assert operation.database.size_bytes == 1


def test_more_than_there_are_slots_wait_for_one(
    workers: Workers, session: Session, control_sessions: sessionmaker[Session], ask: Asked
) -> None:
    workers.flag("long-wait").touch()
    start(workers)
    asked = [ask() for _ in range(fairness.AT_ONCE + 2)]

    def states() -> list[str]:
        with control_sessions() as fresh:
            return [fresh.get_one(Operation, operation.id).state for operation in asked]

    wait_until(lambda: states().count("running") == fairness.AT_ONCE)
    assert states().count("queued") == 2
    workers.flag("long-wait").unlink()
    wait_until(lambda: set(states()) == {"succeeded"}, timeout_s=60)
