"""kill -9 of the worker in each phase: nothing is lost, nothing is done twice, the lock is free soon."""

import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests.support.rows import create_many
from tests.worker.conftest import PATIENCE_S, Worker, Workers, wait_until
from webapp.models import Host, Operation, Run
from webapp.services import doorbell
from webapp.worker.workplace import folders, in_memory

States = Callable[[], dict[str, int]]


def kill(process: Worker) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def assert_each_recorded_once(session: Session, count: int) -> None:
    session.expire_all()
    operations = session.scalars(select(Operation)).all()
    assert [operation.state for operation in operations] == ["succeeded"] * count
    assert {operation.database.status for operation in operations} == {"active"}
    runs = session.scalars(select(Run).order_by(Run.fence)).all()
    assert [run.state for run in runs if run.state != "abandoned"][-1] == "succeeded"
    assert "running" not in {run.state for run in runs}


@pytest.mark.parametrize("flag", ["wait", "wait-after"], ids=["before the effect", "after the effect"])
def test_killed_in_the_middle_of_a_run(
    workers: Workers, host: Host, session: Session, states: States, flag: str
) -> None:
    workers.flag(flag).touch()
    first = workers.start()
    create_many(session, host, 5)
    wait_until(workers.flag("applied-all" if flag == "wait-after" else "entered").exists)
    kill(first)
    assert states() == {"running": 5}
    killed_at = time.monotonic()
    workers.start()
    time.sleep(0.5)
    workers.flag(flag).unlink()
    wait_until(lambda: states() == {"succeeded": 5})
    assert time.monotonic() - killed_at < 30
    assert_each_recorded_once(session, 5)


def test_killed_between_claim_and_run(workers: Workers, host: Host, session: Session, states: States) -> None:
    workers.flag("wait").touch()
    first = workers.start()
    create_many(session, host, 3)
    wait_until(lambda: states() == {"running": 3})
    kill(first)
    workers.flag("wait").unlink()
    workers.start()
    wait_until(lambda: states() == {"succeeded": 3})
    assert_each_recorded_once(session, 3)


def test_another_worker_takes_over_without_a_restart(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    workers.flag("wait").touch()
    first = workers.start()
    create_many(session, host, 3)
    wait_until(workers.flag("entered").exists)
    workers.start()
    time.sleep(1)
    kill(first)
    killed_at = time.monotonic()
    workers.flag("wait").unlink()
    wait_until(lambda: states() == {"succeeded": 3})
    assert time.monotonic() - killed_at < 30
    assert_each_recorded_once(session, 3)


def test_killed_before_it_took_the_doorbell(workers: Workers, host: Host, session: Session, states: States) -> None:
    kill(workers.start())
    create_many(session, host, 2)
    workers.start()
    wait_until(lambda: states() == {"succeeded": 2})
    assert_each_recorded_once(session, 2)


def test_killed_again_and_again_under_load(workers: Workers, host: Host, session: Session, states: States) -> None:
    process = workers.start()
    for delay_s in (0.7, 1.3, 1.9):
        create_many(session, host, 20)
        time.sleep(delay_s)
        kill(process)
        process = workers.start()
    wait_until(lambda: states() == {"succeeded": 60})
    assert_each_recorded_once(session, 60)
    names = {entry["name"] for entry in workers.applied()}
    assert len(names) == 60


def test_the_same_doorbell_twice_does_nothing_twice(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    create_many(session, host, 1)
    doorbell.ring(session, host.id)
    doorbell.ring(session, host.id)
    session.commit()
    workers.start()
    jobs = text("SELECT count(*) FROM procrastinate_jobs")
    wait_until(lambda: states() == {"succeeded": 1} and session.scalar(jobs) == 0)
    doorbell.ring(session, host.id)
    session.commit()
    wait_until(lambda: session.scalar(jobs) == 0)
    assert workers.runs() == [1]


def test_two_workers_share_hosts_and_do_nothing_twice(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    workers.start()
    workers.start()
    create_many(session, host, 30)
    create_many(session, host, 30)
    wait_until(lambda: states() == {"succeeded": 60})
    names = [entry["name"] for entry in workers.applied()]
    assert len(names) == len(set(names)) == 60
    assert session.scalar(text("SELECT max(attempt) FROM operations")) == 1


def test_a_dead_workers_folder_is_swept(workers: Workers, host: Host, session: Session, states: States) -> None:
    workers.flag("wait").touch()
    first = workers.start()
    create_many(session, host, 1)
    wait_until(workers.flag("entered").exists)
    assert len(list(folders(workers.home))) == 1
    kill(first)
    workers.flag("wait").unlink()
    second = workers.start()
    wait_until(lambda: states() == {"succeeded": 1})
    assert len(list(folders(workers.home))) == 1
    second.terminate()
    second.wait(PATIENCE_S)
    assert list(folders(workers.home)) == []
    assert not in_memory(workers.home).exists()
