"""Whose report is due, and what becomes of one."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from tests.support.reports import database_report, keep, lease, make_report
from tests.support.rows import make_database, make_host, make_operation, make_user
from webapp.models import Database, DatabaseFigures, DatabaseSample, Host, HostReport
from webapp.services import sampling
from webapp.services.reports import DatabaseReport


@pytest.fixture
def host(session: Session) -> Host:
    made = make_host(session)
    session.commit()
    return made


@pytest.fixture
def shop(session: Session, host: Host) -> Database:
    made = make_database(session, host, make_user(session), name="shop", status="active")
    session.commit()
    return made


def due(session: Session, every_s: float = 30) -> list[str]:
    found = [one.host_name for one in sampling.take_due(session, every_s, 10)]
    session.commit()
    return found


def make_due(session: Session, since_s: float = 1) -> None:
    values = {"since_s": since_s}
    session.execute(text("UPDATE host_reports SET next_run_at = now() - make_interval(secs => :since_s)"), values)
    session.commit()


def test_a_new_host_is_due_and_then_leased(session: Session, host: Host) -> None:
    assert due(session) == ["local"]
    make_due(session)
    assert due(session) == []
    session.execute(text("UPDATE host_reports SET leased_until = now() - interval '1 second'"))
    assert due(session) == ["local"]


def test_two_workers_never_lease_the_same(
    session: Session, host: Host, control_sessions: sessionmaker[Session]
) -> None:
    assert [one.host_name for one in sampling.take_due(session, 30, 10)] == ["local"]
    with control_sessions() as other:
        other.execute(text("SET lock_timeout = '1s'"))
        session.commit()
        assert due(other) == []


def test_a_host_that_is_offline_is_left_alone(session: Session, host: Host) -> None:
    host.state = "offline"
    assert due(session) == []


def test_a_host_with_work_is_looked_at_later(session: Session, host: Host) -> None:
    operation = make_operation(session, make_database(session, host, make_user(session)))
    assert due(session) == []
    make_due(session, since_s=31)
    assert due(session) == ["local"]
    session.execute(text("UPDATE host_reports SET leased_until = NULL"))
    make_due(session)
    assert due(session) == []
    operation.state = "succeeded"
    assert due(session) == ["local"]


def test_a_report_fills_size_figures_and_sample(session: Session, host: Host, shop: Database) -> None:
    came = datetime.now(UTC) - timedelta(minutes=5)
    keep(session, host, make_report(database_report("shop", size_bytes=7_000_000, last_connection_at=came)))
    session.refresh(shop)
    assert shop.size_bytes == 7_000_000
    figures = session.get_one(DatabaseFigures, shop.id)
    assert (figures.clients_active, figures.last_connection_at) == (1, came)
    [sample] = session.scalars(select(DatabaseSample))
    assert (sample.resolution_s, sample.size_bytes, sample.transactions, sample.duration_s) == (0, 7_000_000, 0, 0)


def test_counters_become_what_was_done_since(session: Session, host: Host, shop: Database) -> None:
    keep(session, host, make_report(database_report("shop", transactions=10, blocks_hit=90)))
    keep(session, host, make_report(database_report("shop", transactions=25, blocks_hit=190)))
    newest = session.scalars(select(DatabaseSample).order_by(DatabaseSample.at.desc())).first()
    assert newest is not None
    assert (newest.transactions, newest.blocks_hit, newest.blocks_read) == (15, 100, 0)
    assert newest.duration_s > 0
    figures = session.get_one(DatabaseFigures, shop.id)
    assert figures.last_connection_at == figures.sampled_at  # nobody was there, but somebody had been


def test_an_idle_database_keeps_its_last_connection(session: Session, host: Host, shop: Database) -> None:
    came = datetime.now(UTC) - timedelta(minutes=5)
    keep(session, host, make_report(database_report("shop", last_connection_at=came)))
    keep(session, host, make_report(database_report("shop", last_connection_at=None, clients_active=0)))
    figures = session.get_one(DatabaseFigures, shop.id)
    assert (figures.clients_active, figures.last_connection_at) == (0, came)


@pytest.mark.parametrize(("before", "now", "done"), [(10, 25, 15), (10, 10, 0), (10, 4, 4)])
def test_a_counter_that_went_back_began_anew(before: int, now: int, done: int) -> None:
    old, new = (DatabaseReport(**database_report("shop", transactions=count)) for count in (before, now))
    assert sampling.change(new, old).transactions == done


def test_strangers_and_deleted_databases_are_left_out(session: Session, host: Host, shop: Database) -> None:
    shop.deleted_at = datetime.now(UTC)
    session.commit()
    keep(session, host, make_report(database_report("shop"), database_report("stranger")))
    assert session.scalars(select(DatabaseSample)).all() == []


def test_a_lost_lease_keeps_nothing(session: Session, host: Host, shop: Database) -> None:
    lost = lease(session, host)
    keep(session, host, make_report(database_report("shop", size_bytes=5)))
    assert not sampling.keep(session, lost, make_report(database_report("shop", size_bytes=9)), 0.5)
    assert not sampling.fail(session, lost, "Too late.")
    session.commit()
    session.refresh(shop)
    assert shop.size_bytes == 5
    assert session.get_one(HostReport, host.id).error is None


def test_a_failure_leaves_the_last_report(session: Session, host: Host) -> None:
    keep(session, host, make_report())
    assert sampling.fail(session, lease(session, host), "The host cannot be reached.")
    session.commit()
    session.expire_all()
    kept = session.get_one(HostReport, host.id)
    assert kept.report is not None
    assert (kept.error, kept.leased_until) == ("The host cannot be reached.", None)


def test_a_slow_report_rests(session: Session, host: Host) -> None:
    assert sampling.keep(session, lease(session, host), make_report(), 20)
    session.commit()
    session.expire_all()
    kept = session.get_one(HostReport, host.id)
    assert kept.sampled_at is not None
    assert (kept.next_run_at - kept.sampled_at).total_seconds() == pytest.approx(180)


def test_it_waits_for_nobody(
    session: Session, host: Host, shop: Database, control_sessions: sessionmaker[Session]
) -> None:
    """A row that somebody holds keeps its size until the next report."""
    taken = lease(session, host)
    with control_sessions() as other:
        other.execute(text("UPDATE databases SET status = 'stopped'"))
        session.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert sampling.keep(session, taken, make_report(database_report("shop", size_bytes=8)), 0.5)
        session.commit()
    session.refresh(shop)
    assert shop.size_bytes == 0
    keep(session, host, make_report(database_report("shop", size_bytes=8)))
    session.refresh(shop)
    assert shop.size_bytes == 8
