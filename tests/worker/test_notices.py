"""Change notices wake those who wait, and a doorbell rings only with its transaction."""

import threading
import time
import uuid

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.services import doorbell
from webapp.services.notices import Notices

NOTIFY = text("SELECT pg_notify('dbhost_changes', :payload)")
JOBS = text("SELECT queue_name, task_name, lock, queueing_lock, args, scheduled_at FROM procrastinate_jobs")


@pytest.fixture
def notices(control_url: str):
    listening = Notices(control_url)
    yield listening
    listening.close()


def test_a_change_wakes_the_waiter_of_its_topic(notices: Notices, session: Session) -> None:
    with notices.subscribe("operation:1") as mine, notices.subscribe("operation:2") as other:
        assert notices._hears.wait(60)
        mine.wait(0.1)
        other.wait(0.1)
        session.execute(NOTIFY, {"payload": "operation:1"})
        session.commit()
        assert mine.wait(60)
        assert not other.wait(0.1)
        other.follow("run:7")
        session.execute(NOTIFY, {"payload": "run:7"})
        session.commit()
        assert other.wait(60)


def test_wait_returns_as_soon_as_the_predicate_holds(notices: Notices, session: Session) -> None:
    seen = threading.Event()

    def change() -> None:
        assert notices._hears.wait(60)
        seen.set()
        session.execute(NOTIFY, {"payload": "operation:1"})
        session.commit()

    thread = threading.Thread(target=change)
    thread.start()
    assert notices.wait(seen.is_set, 60, "operation:1")
    thread.join()


def test_wait_gives_up_when_time_is_over(notices: Notices) -> None:
    started = time.monotonic()
    assert not notices.wait(lambda: False, 0.3)
    assert 0.3 <= time.monotonic() - started < 2


def test_a_lost_connection_is_replaced(notices: Notices, session: Session) -> None:
    with notices.subscribe("operation:1") as mine:
        assert notices._hears.wait(60)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        assert session.execute(text(cut)).scalars().all() == [True]
        deadline = time.monotonic() + 60
        while notices._hears.is_set() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert notices._hears.wait(60)
        mine.wait(0.1)
        session.execute(NOTIFY, {"payload": "operation:1"})
        session.commit()
        assert mine.wait(60)


def test_close_does_not_wait_for_the_next_notice(
    control_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("webapp.services.notices.POLL_S", 200.0)
    listening = Notices(control_url)
    with listening.subscribe():
        assert listening._hears.wait(30)
    started = time.monotonic()
    listening.close()
    assert time.monotonic() - started < 100
    assert "notices_lost" not in capsys.readouterr().out


def test_ring_defers_one_job_with_the_hosts_lock(session: Session) -> None:
    host_id = uuid.uuid4()
    doorbell.ring(session, host_id)
    doorbell.ring(session, host_id)
    session.commit()
    jobs = session.execute(JOBS).all()
    expected = ("hosts", "ring", f"host:{host_id}", None, {"host_id": str(host_id)}, None)
    assert [tuple(job) for job in jobs] == [expected, expected]


def test_ring_is_undone_with_its_transaction(session: Session) -> None:
    doorbell.ring(session, uuid.uuid4())
    session.rollback()
    assert session.execute(JOBS).all() == []
