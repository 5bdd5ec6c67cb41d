"""Outages and pauses of living workers: nothing ends that went on, nothing innocent fails, and new work begins soon."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.cluster import Cluster
from tests.support.relay import Relay
from tests.support.rows import create_many, make_database, make_operation, make_user
from tests.worker.conftest import Workers, wait_until
from webapp.models import Host, Operation, Run
from webapp.services import doorbell

States = Callable[[], dict[str, int]]
STALLED_S = 3  # what the workers of these tests are told


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    with Relay(cluster.folder) as running:
        yield running


@pytest.fixture
def by_relay(workers: Workers, relay: Relay) -> Iterator[Workers]:
    """Workers whose way to the control database leads over the relay."""
    workers.url = relay.url(workers.url)
    yield workers
    workers.end()


def begin_long(session: Session, host: Host) -> Operation:
    database = make_database(session, host, make_user(session), status="active", size_bytes=0)
    operation = make_operation(session, database, "test.long", lane="long")
    doorbell.ring_for(session, operation)
    session.commit()
    return operation


@pytest.mark.parametrize("way", ["cut", "stop"])
def test_new_work_begins_after_an_outage_whatever_runs(
    by_relay: Workers, relay: Relay, host: Host, session: Session, states: States, way: str
) -> None:
    by_relay.flag("long-wait").touch()
    worker = by_relay.start(program="tests.worker.long_program")
    operation = begin_long(session, host)
    wait_until(by_relay.flag("long-entered").exists)
    relay.cut() if way == "cut" else relay.stop()
    time.sleep(6)
    relay.open() if way == "cut" else relay.resume()
    create_many(session, host, 2)
    wait_until(lambda: states().get("succeeded") == 2)
    assert states() == {"succeeded": 2, "running": 1}
    by_relay.flag("long-wait").unlink()
    wait_until(lambda: states() == {"succeeded": 3})
    session.refresh(operation)
    assert (operation.attempt, worker.poll()) == (1, None)


def test_what_was_done_during_an_outage_is_recorded_and_not_done_again(
    by_relay: Workers, relay: Relay, host: Host, session: Session, states: States
) -> None:
    by_relay.flag("wait").touch()
    by_relay.start()
    create_many(session, host, 3)
    wait_until(by_relay.flag("entered").exists)
    relay.cut()
    by_relay.flag("wait").unlink()
    wait_until(by_relay.flag("applied-all").exists)
    time.sleep(1)
    relay.open()
    wait_until(lambda: states() == {"succeeded": 3})
    assert by_relay.runs() == [3]


@pytest.mark.parametrize("others", [0, 1])
def test_a_paused_worker_does_not_fight_itself(
    workers: Workers, host: Host, session: Session, states: States, others: int
) -> None:
    workers.flag("wait").touch()
    worker = workers.start()
    operations = create_many(session, host, 10)
    wait_until(workers.flag("entered").exists)
    for _ in range(others):
        workers.start()
    for _ in range(2):
        worker.send_signal(signal.SIGSTOP)
        time.sleep(2 * STALLED_S)
        worker.send_signal(signal.SIGCONT)
        create_many(session, host, 1)
        time.sleep(STALLED_S)
    workers.flag("wait").unlink()
    wait_until(lambda: states() == {"succeeded": 12})
    session.expire_all()
    assert {operation.state for operation in operations} == {"succeeded"}
    assert max(operation.attempt for operation in operations) <= 1 + others
    runs = session.scalars(select(Run)).all()
    if not others:
        assert {run.state for run in runs} == {"succeeded"}
