"""Schedules: due times are rows, a host is not overrun, and what was missed is made up for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.support.rows import make_backup, make_database
from webapp.config import settings
from webapp.models import Backup, BackupSchedule, Database, Host, Operation
from webapp.services import backup_expiry, backup_schedules, backups
from webapp.services.actors import Actor
from webapp.services.backup_schedules import Wish, next_run
from webapp.services.errors import PlanLimitReached, ValidationFailed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def spooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: None) -> None:
    monkeypatch.setenv("DBHOST_SPOOL_DIR", str(tmp_path))
    settings.cache_clear()


@pytest.mark.parametrize(
    ("hour", "every", "now", "expected"),
    [
        (2, 24, NOON, datetime(2026, 11, 25, 2, tzinfo=UTC)),
        (2, 24, datetime(2026, 11, 24, 1, 59, 59, tzinfo=UTC), datetime(2026, 11, 24, 2, tzinfo=UTC)),
        (2, 24, datetime(2026, 11, 24, 2, tzinfo=UTC), datetime(2026, 11, 25, 2, tzinfo=UTC)),
        (2, 6, NOON, datetime(2026, 11, 24, 14, tzinfo=UTC)),
        (23, 12, NOON, datetime(2026, 11, 24, 23, tzinfo=UTC)),
    ],
)
def test_next_run(hour: int, every: int, now: datetime, expected: datetime) -> None:
    assert next_run(hour, every, now) == expected


def make_due(session: Session, by: timedelta = timedelta(minutes=1)) -> None:
    session.execute(update(BackupSchedule).values(next_run_at=datetime.now(UTC) - by))
    session.commit()


def end_all(session: Session) -> None:
    session.execute(update(Operation).values(state="succeeded"))
    session.commit()


def test_every_active_database_gets_a_schedule_at_two(session: Session, shop: Database) -> None:
    assert backup_schedules.enrol(session) == 1
    assert backup_schedules.enrol(session) == 0
    schedule = session.scalars(select(BackupSchedule)).one()
    assert (schedule.next_run_at.astimezone(UTC).hour, schedule.every_hours, schedule.retention_days) == (2, 24, 30)
    assert backup_schedules.queue_due(session) == []


def test_what_is_due_is_queued_once_however_late(session: Session, shop: Database) -> None:
    backup_schedules.enrol(session)
    make_due(session, timedelta(days=3))
    (operation,) = backup_schedules.queue_due(session)
    backup = session.scalars(select(Backup)).one()
    assert (operation.kind, operation.actor_type, backup.kind) == ("backup.create", "system", "scheduled")
    end_all(session)
    assert backup_schedules.queue_due(session) == []


def test_a_host_gets_two_at_once(session: Session, shop: Database, host: Host) -> None:
    for _ in range(4):
        make_database(session, host, shop.owner, status="active")
    elsewhere = Host(name="db2", public_host="db2.example.com", pgbouncer_port=6432)
    session.add(elsewhere)
    make_database(session, elsewhere, shop.owner, status="active")
    backup_schedules.enrol(session)
    make_due(session)
    queued = []
    for expected in (3, 0):
        now = backup_schedules.queue_due(session)
        assert len(now) == expected
        queued += now
    while end_all(session) or (more := backup_schedules.queue_due(session)):
        assert len(more) <= 2
        queued += more
    assert len({operation.database_id for operation in queued}) == len(queued) == 6


def test_a_host_with_much_before_it_holds_up_no_other(
    session: Session, shop: Database, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_schedules, "LOOKED_AT", 3)
    for _ in range(5):
        make_database(session, host, shop.owner, status="active")
    backup_schedules.enrol(session)
    make_due(session, timedelta(hours=1))
    elsewhere = Host(name="db2", public_host="db2.example.com", pgbouncer_port=6432)
    session.add(elsewhere)
    other = make_database(session, elsewhere, shop.owner, status="active")
    backup_schedules.enrol(session)
    due = datetime.now(UTC) - timedelta(minutes=1)
    session.execute(update(BackupSchedule).where(BackupSchedule.database_id == other.id).values(next_run_at=due))
    session.commit()
    assert [operation.host_id for operation in backup_schedules.queue_due(session)] == [host.id] * 2
    assert [operation.database_id for operation in backup_schedules.queue_due(session)] == [other.id]


def test_a_stopped_or_busy_database_waits(session: Session, shop: Database) -> None:
    backup_schedules.enrol(session)
    make_due(session)
    shop.status = "stopped"
    assert backup_schedules.queue_due(session) == []
    shop.status = "active"
    assert len(backup_schedules.queue_due(session)) == 1


def test_a_clock_that_was_ahead_is_mended(session: Session, shop: Database) -> None:
    backup_schedules.enrol(session)
    make_due(session, timedelta(days=-40))
    assert len(backup_schedules.queue_due(session)) == 1


def test_the_newest_backup_is_drilled_when_its_time_comes(session: Session, shop: Database) -> None:
    backup_schedules.enrol(session)
    session.execute(update(BackupSchedule).values(next_drill_at=datetime.now(UTC)))
    assert backup_schedules.queue_due(session) == []
    older = make_backup(session, shop, at=datetime.now(UTC) - timedelta(days=1))
    newer = make_backup(session, shop)
    (operation,) = backup_schedules.queue_due(session)
    assert operation.kind == "backup.drill"
    assert operation.params == {"backup_id": str(newer.id)} != {"backup_id": str(older.id)}
    end_all(session)
    assert backup_schedules.queue_due(session) == []


def test_what_cannot_be_opened_here_is_not_drilled(
    session: Session, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a key that is kept elsewhere on purpose would be a failure each week."""
    backup_schedules.enrol(session)
    session.execute(update(BackupSchedule).values(next_drill_at=datetime.now(UTC) - timedelta(minutes=1)))
    make_backup(session, shop, encrypted=True)
    assert backup_schedules.queue_due(session) == []
    monkeypatch.setenv("DBHOST_BACKUP_AGE_IDENTITY", "AGE-SECRET-KEY-1")
    settings.cache_clear()
    session.execute(update(BackupSchedule).values(next_drill_at=datetime.now(UTC) - timedelta(minutes=1)))
    session.commit()
    assert [operation.kind for operation in backup_schedules.queue_due(session)] == ["backup.drill"]


def test_a_schedule_stays_within_the_plan(session: Session, alice: Actor, shop: Database) -> None:
    changed = backup_schedules.change(session, alice, shop, Wish(True, 5, 12, 60))
    assert (changed.hour_utc, changed.next_run_at.hour) in ((5, 5), (5, 17))
    for wish in (Wish(True, 24, 24, 30), Wish(True, 2, 7, 30), Wish(True, 2, 24, 0)):
        with pytest.raises(ValidationFailed):
            backup_schedules.change(session, alice, shop, wish)
    for wish in (Wish(True, 2, 6, 30), Wish(True, 2, 24, 61)):
        with pytest.raises(PlanLimitReached):
            backup_schedules.change(session, alice, shop, wish)
    assert backups.retention(session, shop, "manual") == timedelta(days=60)


def expired(session: Session, shop: Database, days_ago: int, over_by: timedelta, **values: object) -> Backup:
    now = datetime.now(UTC)
    return make_backup(session, shop, at=now - timedelta(days=days_ago), expires_at=now - over_by, **values)


def test_what_is_over_goes_but_never_the_last_good_one(session: Session, shop: Database) -> None:
    day = timedelta(days=1)
    oldest = expired(session, shop, 40, day)
    good = expired(session, shop, 35, day)
    bad = expired(session, shop, 32, day, drill_error="It does not restore.")
    assert backup_expiry.expire(session) == 1
    session.expire_all()
    assert [backup.state for backup in (oldest, good, bad)] == ["deleting", "available", "available"]
    make_backup(session, shop)
    assert backup_expiry.expire(session) == 2


def test_a_clock_an_hour_ahead_deletes_nothing_early(session: Session, shop: Database) -> None:
    soon = expired(session, shop, 29, timedelta(hours=1))
    make_backup(session, shop)
    assert backup_expiry.expire(session) == 0
    session.refresh(soon)
    assert soon.state == "available"


def test_backups_of_a_deleted_database_go_and_what_was_kept_of_it_too(session: Session, shop: Database) -> None:
    shop.deleted_at = datetime.now(UTC) - timedelta(days=31)
    final = expired(session, shop, 31, timedelta(days=1), kind="final")
    assert backup_expiry.forget_deleted(session) == 0
    assert backup_expiry.expire(session) == 1
    session.refresh(final)
    assert backup_expiry.forget_deleted(session) == 1
    session.refresh(shop)
    assert (shop.verifier, shop.password_encrypted) == (None, None)
