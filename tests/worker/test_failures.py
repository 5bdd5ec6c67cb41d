"""What goes wrong, and what is then true: errors of one database, retries, unreachable hosts, cancels."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from tests.support.rows import ask, create_many, make_host
from tests.worker.conftest import Workers, wait_until
from webapp.models import Host, Operation, Run
from webapp.worker.retries import MAX_ATTEMPTS, delay, exhausted

States = Callable[[], dict[str, int]]


def error(*, retryable: bool) -> dict[str, Any]:
    return {"code": "no_luck", "message": "It did not work.", "retryable": retryable, "step": "CREATE DATABASE"}


def set_errors(workers: Workers, errors: dict[str, Any]) -> None:
    workers.flag("errors.json").write_text(json.dumps(errors))


def make_due(session: Session) -> None:
    """As if the time to wait were over."""
    session.execute(update(Operation).values(next_attempt_at=text("now()")))
    session.commit()


def test_one_failing_database_does_not_fail_the_others(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    operations = create_many(session, host, 5)
    bad = operations[2]
    set_errors(workers, {bad.database.name: error(retryable=False)})
    workers.start()
    wait_until(lambda: states() == {"succeeded": 4, "failed": 1})
    session.expire_all()
    assert (bad.state, bad.error_code, bad.error_step) == ("failed", "AGENT_ERROR", "CREATE DATABASE")
    assert bad.error_message == "It did not work. (no_luck)"
    assert bad.database.status == "error"
    assert {operation.database.status for operation in operations if operation is not bad} == {"active"}
    assert session.get_one(Run, bad.run_id).state == "failed"


def test_a_retryable_error_waits_and_is_tried_again(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    (operation,) = create_many(session, host, 1)
    set_errors(workers, {operation.database.name: error(retryable=True)})
    workers.start()
    wait_until(lambda: states() == {"queued": 1} and workers.runs() != [])
    session.refresh(operation)
    assert (operation.attempt, operation.error_code, operation.ended_at) == (1, "AGENT_ERROR", None)
    assert operation.next_attempt_at > datetime.now(UTC) - timedelta(seconds=1)
    set_errors(workers, {})
    wait_until(lambda: states() == {"succeeded": 1})
    session.refresh(operation)
    assert operation.attempt >= 2
    assert (operation.error_code, operation.error_message, operation.error_step) == (None, None, None)


def test_a_retryable_error_ends_at_the_last_attempt(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    (operation,) = create_many(session, host, 1, ring=False)
    operation.attempt = MAX_ATTEMPTS - 1
    session.commit()
    set_errors(workers, {operation.database.name: error(retryable=True)})
    workers.start()
    wait_until(lambda: states() == {"failed": 1})
    session.refresh(operation)
    assert (operation.attempt, operation.error_code) == (MAX_ATTEMPTS, "AGENT_ERROR")


def test_a_run_without_a_report_is_tried_again(workers: Workers, host: Host, session: Session, states: States) -> None:
    operations = create_many(session, host, 2)
    workers.flag("crash").touch()
    workers.start()
    wait_until(lambda: states() == {"queued": 2} and workers.runs() != [])
    session.refresh(operations[0])
    assert operations[0].error_message == "The run failed at the step “Pretend to converge”."
    workers.flag("crash").unlink()
    make_due(session)
    wait_until(lambda: states() == {"succeeded": 2})


def test_an_unreachable_host_keeps_its_operations_and_holds_nobody_up(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    away = make_host(session, "away")
    (waiting,) = create_many(session, away, 1)
    (other,) = create_many(session, host, 1)
    workers.start()

    def told() -> bool:  # it is tried again and again, and then runs for a moment
        session.rollback()
        session.refresh(waiting)
        return (waiting.state, waiting.error_code) == ("queued", "HOST_UNAVAILABLE")

    wait_until(lambda: states().get("succeeded") == 1 and told())
    session.refresh(other)
    assert other.state == "succeeded"


def test_a_host_that_the_inventory_does_not_know_is_tried_again(
    workers: Workers, session: Session, states: States
) -> None:
    (operation,) = create_many(session, make_host(session, "unheard-of"), 1)
    workers.start()
    wait_until(lambda: session.refresh(operation) or (operation.state, operation.attempt > 0) == ("queued", True))
    assert (operation.error_code, operation.error_message) == ("AGENT_ERROR", "The run ended without a result.")


def test_cancel_of_a_running_operation_ends_the_run(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    workers.flag("wait").touch()
    (cancelled, other) = create_many(session, host, 2)
    workers.start()
    wait_until(workers.flag("entered").exists)
    cancelled.cancel_requested_at = datetime.now(UTC)
    session.commit()
    wait_until(lambda: states().get("cancelled") == 1)
    workers.flag("wait").unlink()
    wait_until(lambda: states() == {"cancelled": 1, "succeeded": 1})
    session.expire_all()
    assert (cancelled.state, cancelled.database.status) == ("cancelled", "error")
    assert (other.state, other.attempt) == ("succeeded", 1)
    assert session.get_one(Run, cancelled.run_id).state == "cancelled"


def test_cancel_that_comes_after_the_work_changes_nothing(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    workers.flag("wait").touch()
    (operation,) = create_many(session, host, 1)
    workers.start()
    wait_until(workers.flag("entered").exists)
    workers.flag("wait").unlink()
    wait_until(workers.flag("applied-all").exists)
    operation.cancel_requested_at = datetime.now(UTC)
    session.commit()
    wait_until(lambda: set(states()) <= {"succeeded", "cancelled"})
    session.refresh(operation)
    session.refresh(operation.database)
    told = {"succeeded": "active", "cancelled": "error"}
    assert operation.database.status == told[operation.state]


def test_cancel_of_an_operation_that_waits_for_a_retry(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    (operation,) = create_many(session, host, 1)
    operation.attempt = 1
    operation.cancel_requested_at = datetime.now(UTC)
    session.commit()
    workers.start()
    wait_until(lambda: states() == {"cancelled": 1})
    assert workers.runs() == []


def test_a_run_that_takes_too_long_is_ended(workers: Workers, host: Host, session: Session, states: States) -> None:
    workers.flag("wait").touch()
    (operation,) = create_many(session, host, 1)
    workers.start(DBHOST_RUN_TIMEOUT_S="10")
    wait_until(workers.flag("entered").exists)
    started = time.monotonic()
    wait_until(lambda: states() == {"queued": 1})
    assert time.monotonic() - started < 30
    session.refresh(operation)
    assert operation.error_message == "The run took too long and was ended."


def test_a_failed_repair_leaves_the_database_active(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    (operation,) = create_many(session, host, 1)
    workers.start()
    wait_until(lambda: states() == {"succeeded": 1})
    set_errors(workers, {operation.database.name: error(retryable=False)})
    session.refresh(operation.database)
    ask(session, operation.database, "database.repair_ownership")
    session.commit()
    wait_until(lambda: states() == {"succeeded": 1, "failed": 1})
    session.refresh(operation.database)
    assert operation.database.status == "active"


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (4, 8), (7, 20), (500, 20)])
def test_delay_doubles_up_to_twenty_seconds(attempt: int, seconds: int) -> None:
    assert delay(attempt) == timedelta(seconds=seconds)


def test_an_unreachable_host_is_waited_for_longer() -> None:
    assert exhausted("AGENT_ERROR", MAX_ATTEMPTS)
    assert not exhausted("HOST_UNAVAILABLE", MAX_ATTEMPTS)
