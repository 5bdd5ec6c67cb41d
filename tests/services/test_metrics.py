"""Samples over time: how they are read, and how old ones are put together."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from tests.support.rows import make_database, make_host, make_user
from webapp.models import Database, DatabaseSample
from webapp.services import metrics

DAY = timedelta(days=1)


@pytest.fixture
def shop(session: Session) -> Database:
    made = make_database(session, make_host(session), make_user(session), name="shop", status="active")
    session.commit()
    return made


def add(session: Session, database: Database, at: datetime, resolution_s: int = 0, **values: int) -> None:
    counted = {"size_bytes": 100, "clients_active": 1, "clients_waiting": 0, "transactions": 30}
    counted |= {"blocks_hit": 9, "blocks_read": 1, **values}
    session.add(DatabaseSample(database_id=database.id, resolution_s=resolution_s, at=at, duration_s=30, **counted))


def kept(session: Session) -> list[DatabaseSample]:
    session.commit()
    return list(session.scalars(select(DatabaseSample).order_by(DatabaseSample.resolution_s, DatabaseSample.at)))


def bin_of(moment: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def test_raw_samples_of_a_day_become_five_minutes(session: Session, shop: Database) -> None:
    start = bin_of(datetime.now(UTC) - 2 * DAY, 300)
    for number in range(10):
        add(session, shop, start + timedelta(seconds=30 * number), size_bytes=number, clients_active=number % 4)
    add(session, shop, datetime.now(UTC) - DAY / 2, size_bytes=77)
    session.commit()
    assert metrics.compact(session)
    young, old = kept(session)
    assert (young.resolution_s, young.size_bytes) == (0, 77)
    assert (old.resolution_s, old.at) == (300, start)
    assert (old.size_bytes, old.clients_active, old.transactions, old.duration_s) == (9, 3, 300, 300)
    assert (old.blocks_hit, old.blocks_read) == (90, 10)


def test_five_minutes_of_a_month_become_hours_and_those_of_a_year_go(session: Session, shop: Database) -> None:
    hour = bin_of(datetime.now(UTC) - 40 * DAY, 3600)
    for number in range(12):
        add(session, shop, hour + timedelta(minutes=5 * number), 300)
    add(session, shop, datetime.now(UTC) - 400 * DAY, 3600)
    session.commit()
    assert metrics.compact(session)
    [sample] = kept(session)
    assert (sample.resolution_s, sample.at, sample.transactions) == (3600, hour, 360)


def test_a_second_compaction_changes_nothing(session: Session, shop: Database) -> None:
    start = bin_of(datetime.now(UTC) - 2 * DAY, 300)
    add(session, shop, start)
    metrics.compact(session)
    before = [(sample.at, sample.transactions) for sample in kept(session)]
    assert metrics.compact(session)
    assert [(sample.at, sample.transactions) for sample in kept(session)] == before == [(start, 30)]


def test_one_worker_compacts(session: Session, control_sessions: sessionmaker[Session]) -> None:
    assert metrics.compact(session)
    with control_sessions() as other:
        assert not metrics.compact(other)


def test_series_have_rates_and_leave_gaps_out(session: Session, shop: Database) -> None:
    now = datetime.now(UTC)
    add(session, shop, now - timedelta(minutes=30), size_bytes=50)
    add(session, shop, now - timedelta(seconds=1), transactions=60)
    add(session, shop, now - timedelta(hours=3))
    session.commit()
    found = metrics.of_database(session, shop, "hour")
    first, last = found.series
    assert (first.size_bytes, first.transactions_per_s, first.cache_hit_ratio) == (50, 1.0, 0.9)
    assert last.transactions_per_s == 2.0
    assert last.at - first.at >= timedelta(minutes=29)


@pytest.mark.parametrize("range_", metrics.RANGES)
def test_a_series_is_short_and_its_steps_are_no_finer_than_what_is_kept(range_: str) -> None:
    length, step = metrics.RANGES[range_]
    assert length / step <= 200
    for _, coarser, age in metrics.AGES:
        assert length <= age or step % coarser == 0


def test_a_database_nobody_reported_on(session: Session, shop: Database) -> None:
    found = metrics.of_database(session, shop)
    assert (found.size_bytes, found.clients_active, found.last_connection_at, found.series) == (0, 0, None, [])
