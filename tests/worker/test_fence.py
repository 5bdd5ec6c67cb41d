"""Claims and results in the control database alone: fences, batches, doorbells, without a playbook."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from tests.support.rows import create_many, make_host
from webapp.models import Host, Run
from webapp.services import doorbell
from webapp.worker import reaper, retries
from webapp.worker.claim import Batch, claim
from webapp.worker.finish import finish
from webapp.worker.report import Item
from webapp.worker.retries import MAX_ATTEMPTS
from webapp.worker.runner import Outcome

JOBS = text("SELECT count(*) FROM procrastinate_jobs")
DOING = text("""
    UPDATE procrastinate_jobs SET status = 'doing', worker_id = :worker
    WHERE id IN (SELECT min(id) FROM procrastinate_jobs)
""")
WORKER = text("""
    INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - make_interval(secs => :age)) RETURNING id
""")


def take(sessions: sessionmaker[Session], host: Host, limit: int = 100, *, job_id: int | None = None) -> Batch | None:
    with sessions() as session:
        batch = claim(session, host.id, worker="test:1", playbook="databases.yml", limit=limit, job_id=job_id)
        session.commit()
        return batch


def give(sessions: sessionmaker[Session], batch: Batch, outcome: Outcome) -> None:
    with sessions() as session:
        finish(session, batch, outcome)
        session.commit()


def all_well(batch: Batch) -> Outcome:
    items = [Item(name=operation.database.name, generation=operation.generation) for operation in batch.operations]
    return Outcome(results={item.name: item for item in items}, ok=True)


def test_a_claim_takes_what_is_due_and_absorbs_the_doorbells(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    operations = create_many(session, host, 3)
    operations[2].next_attempt_at = datetime.now(UTC) + timedelta(hours=1)
    other = make_host(session, "other")
    doorbell.ring(session, other.id)
    session.commit()
    batch = take(control_sessions, host)
    assert batch is not None
    assert {operation.id for operation in batch.operations} == {operations[0].id, operations[1].id}
    assert session.scalar(JOBS) == 1
    assert take(control_sessions, other) is None


def test_a_claim_holds_to_the_batch_limit(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    create_many(session, host, 5)
    first = take(control_sessions, host, limit=2)
    assert first is not None
    give(control_sessions, first, all_well(first))
    second = take(control_sessions, host, limit=10)
    assert second is not None
    assert (len(first.operations), len(second.operations)) == (2, 3)
    assert second.fence > first.fence


def test_the_result_of_an_old_fence_is_refused(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    old = take(control_sessions, host)
    new = take(control_sessions, host)
    assert old is not None
    assert new is not None
    failed = Outcome(failed_step="Pretend")
    give(control_sessions, old, all_well(old))
    session.refresh(operation)
    assert (operation.state, operation.fence, operation.run_id) == ("running", new.fence, new.run_id)
    assert operation.database.status == "creating"
    assert session.get_one(Run, old.run_id).state == "abandoned"
    give(control_sessions, new, failed)
    give(control_sessions, old, all_well(old))
    session.refresh(operation)
    assert (operation.state, operation.attempt) == ("queued", 1)  # what was taken from a living worker is given back


def test_a_result_for_another_generation_counts_for_nothing(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    batch = take(control_sessions, host)
    assert batch is not None
    stale = Item(name=operation.database.name, generation=operation.generation - 1)
    give(control_sessions, batch, Outcome(results={stale.name: stale}, ok=True))
    session.refresh(operation)
    assert operation.state == "queued"


def test_what_kills_its_worker_is_given_up(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    for _ in range(MAX_ATTEMPTS):
        assert take(control_sessions, host) is not None
    assert take(control_sessions, host) is None
    session.expire_all()
    assert (operation.state, operation.error_code, operation.database.status) == ("failed", "AGENT_ERROR", "error")


def test_a_run_that_is_shut_down_hands_back_what_it_had(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    batch = take(control_sessions, host)
    assert batch is not None
    give(control_sessions, batch, Outcome(stopped="shutdown"))
    session.refresh(operation)
    assert (operation.state, operation.attempt, operation.error_code) == ("queued", 0, None)
    assert reaper.ring_silent_hosts(session) == [host.id]


@pytest.mark.parametrize(("age_s", "dead", "reaped"), [(0, False, 0), (4, False, 1), (0, True, 1)])
def test_the_reaper_frees_the_lock_of_a_dead_worker(
    session: Session, host: Host, age_s: int, dead: bool, reaped: int
) -> None:
    create_many(session, host, 1)
    worker = session.scalar(WORKER, {"age": age_s})
    session.execute(DOING, {"worker": worker})
    assert reaper.reap(session, 3, [worker] if dead else []) == reaped
    statuses = session.scalars(text("SELECT status FROM procrastinate_jobs")).all()
    assert statuses == ["todo" if reaped else "doing"]


def test_a_forgotten_doorbell_is_ended_when_it_is_met_twice(session: Session, host: Host) -> None:
    create_many(session, host, 2)
    worker = session.scalar(WORKER, {"age": 0})
    session.execute(DOING, {"worker": worker})
    job = session.scalar(text("SELECT id FROM procrastinate_jobs WHERE status = 'doing'"))
    forgotten = reaper.Forgotten()
    for answering, left in ((set(), 2), ({job}, 2), (set(), 2), (set(), 1)):
        forgotten.end(session, worker, answering)
        assert session.scalar(JOBS) == left


def test_silent_hosts_are_rung_once(session: Session, host: Host) -> None:
    (operation,) = create_many(session, host, 1, ring=False)
    assert reaper.ring_silent_hosts(session) == [host.id]
    assert reaper.ring_silent_hosts(session) == []
    session.execute(text("DELETE FROM procrastinate_jobs"))
    operation.next_attempt_at = datetime.now(UTC) + timedelta(hours=1)
    session.commit()
    assert reaper.ring_silent_hosts(session) == []
    operation.state, operation.fence = "running", 7
    session.commit()
    assert reaper.ring_silent_hosts(session) == [host.id]


def test_an_operation_that_succeeded_forgets_its_errors(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    operation.error_code, operation.error_message = "HOST_UNAVAILABLE", "The host cannot be reached."
    session.commit()
    batch = take(control_sessions, host)
    assert batch is not None
    give(control_sessions, batch, all_well(batch))
    session.refresh(operation)
    assert (operation.state, operation.error_code, operation.error_message) == ("succeeded", None, None)


def test_a_doorbell_that_was_reaped_claims_nothing(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    create_many(session, host, 1)
    worker = session.scalar(WORKER, {"age": 4})
    session.execute(DOING, {"worker": worker})
    job = session.scalar(text("SELECT id FROM procrastinate_jobs WHERE status = 'doing'"))
    session.commit()
    assert take(control_sessions, host, job_id=job) is not None
    assert reaper.reap(session, 3) == 1
    session.commit()
    assert take(control_sessions, host, job_id=job) is None


@pytest.mark.parametrize("how", ["own", "answering"])
def test_a_reaper_never_reaps_itself(session: Session, host: Host, how: str) -> None:
    create_many(session, host, 1)
    worker = session.scalar(WORKER, {"age": 100})
    session.execute(DOING, {"worker": worker})
    job = session.scalar(text("SELECT id FROM procrastinate_jobs WHERE status = 'doing'"))
    mine: dict[str, Any] = {"own": worker} if how == "own" else {"answering": {job}}
    assert reaper.reap(session, 3, **mine) == 0
    assert session.scalar(text("SELECT status FROM procrastinate_jobs")) == "doing"


def test_taking_over_from_a_living_worker_costs_no_attempt(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    for _ in range(3 * MAX_ATTEMPTS):
        old, new = take(control_sessions, host), take(control_sessions, host)
        assert old is not None
        assert new is not None
        give(control_sessions, old, Outcome(stopped="taken over"))
        give(control_sessions, new, Outcome(stopped="shutdown"))
    session.refresh(operation)
    assert (operation.state, operation.attempt) == ("queued", 0)


def test_tries_on_a_host_out_of_reach_are_no_deaths_of_workers(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    (operation,) = create_many(session, host, 1)
    operation.attempt, operation.error_code = MAX_ATTEMPTS + 5, "HOST_UNAVAILABLE"
    session.commit()
    assert take(control_sessions, host) is not None
    assert take(control_sessions, host) is not None


def test_what_waits_for_a_host_is_due_when_the_host_answers(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    waiting, failing, _well = create_many(session, host, 3)
    for operation, code in ((waiting, "HOST_UNAVAILABLE"), (failing, "AGENT_ERROR")):
        operation.next_attempt_at, operation.error_code = datetime.now(UTC) + timedelta(hours=1), code
    session.commit()
    batch = take(control_sessions, host)
    assert batch is not None
    give(control_sessions, batch, all_well(batch))
    session.expire_all()
    assert waiting.next_attempt_at <= datetime.now(UTC)
    assert failing.next_attempt_at > datetime.now(UTC)


def test_whoever_waits_for_a_host_that_is_back_waits_half_a_minute_at_most() -> None:
    assert max(retries.delay(attempt) for attempt in range(1, 400)) <= timedelta(seconds=30)
    assert sum((retries.delay(attempt) for attempt in range(1, MAX_ATTEMPTS)), timedelta()) > timedelta(minutes=4)
