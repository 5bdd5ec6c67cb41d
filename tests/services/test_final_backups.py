"""Final backups and notices of failed ones: who is told and how often, who works at them, and when."""

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tests.support.rows import make_database, make_operation, make_user
from webapp.models import Backup, Database, FinalBackup, Member, Operation, QueuedMail
from webapp.services import backup_notices, backups, final_backups, mails, plans
from webapp.services.errors import PlanLimitReached


def ended(session: Session, database: Database, state: str, kind: str = "backup.create") -> Operation:
    operation = make_operation(session, database, kind, lane="long", state=state)
    operation.ended_at = datetime.now(UTC)
    operation.error_message = "pg_dump ended early." if state == "failed" else None
    session.flush()
    return operation


def mailed(session: Session) -> list[str]:
    return sorted(session.scalars(select(QueuedMail.recipient)))


@pytest.fixture
def team(session: Session, shop: Database) -> Database:
    """The shop with an admin and a developer."""
    for email, level in (("admin@example.com", "admin"), ("dev@example.com", "developer")):
        session.add(Member(database_id=shop.id, user=make_user(session, email), level=level))
    session.commit()
    return shop


def test_the_owner_and_its_admins_are_told_once_a_streak(session: Session, team: Database) -> None:
    backup_notices.tell(session, ended(session, team, "failed"), "The backup failed")
    assert mailed(session) == sorted([team.owner.email, "admin@example.com"])
    backup_notices.tell(session, ended(session, team, "failed"), "The backup failed")
    assert len(mailed(session)) == 2
    ended(session, team, "succeeded")
    backup_notices.tell(session, ended(session, team, "failed"), "The backup failed")
    assert len(mailed(session)) == 4
    text = session.scalars(select(QueuedMail.text)).first() or ""
    assert "pg_dump ended early." in text
    assert f"/databases/{team.id}/backups" in text


def test_another_kind_has_a_streak_of_its_own(session: Session, team: Database) -> None:
    backup_notices.tell(session, ended(session, team, "failed"), "The backup failed")
    backup_notices.tell(session, ended(session, team, "failed", "backup.restore"), "The restore failed")
    assert len(mailed(session)) == 4


def test_a_drill_is_told_to_the_platforms_admins_too(session: Session, team: Database) -> None:
    make_user(session, "platform@example.com").platform_role = "admin"
    banned = make_user(session, "banned@example.com")
    banned.platform_role, banned.state = "admin", "banned"
    session.flush()
    backup_notices.tell(session, ended(session, team, "failed", "backup.drill"), "Not proven", admins=True)
    assert mailed(session) == sorted([team.owner.email, "admin@example.com", "platform@example.com"])


def test_only_the_first_failure_of_a_final_backup_is_told(session: Session, team: Database) -> None:
    final_backups.plan(session, team, None)
    session.flush()
    row = final_backups.of_database(session, team)
    assert row is not None
    row.held_at = datetime.now(UTC)
    session.commit()
    for _ in range(2):
        row.next_attempt_at = datetime.now(UTC)
        session.commit()
        (host,) = final_backups.due_hosts(session, 1)
        lease, (taken,) = final_backups.take(session, host, 5)
        final_backups.put_off(session, lease, taken, "No space left.", retryable=False)
        session.commit()
        session.refresh(row)
    assert (row.error, row.attempts) == ("No space left.", 2)
    assert len(mailed(session)) == 2


def test_what_a_retry_may_mend_is_told_when_it_stays_so(session: Session, team: Database) -> None:
    final_backups.plan(session, team, None)
    final_backups.put_aside(session, team)
    session.commit()
    told = []
    for _ in range(final_backups.TOLD_AFTER + 1):
        session.execute(update(FinalBackup).values(next_attempt_at=func.now()))
        session.commit()
        lease, (taken,) = final_backups.take(session, team.host, 5)
        final_backups.put_off(session, lease, taken, "Another run is at it.")
        session.commit()
        told.append(len(mailed(session)))
    assert told == [0, 0, 2, 2]


def test_a_lease_that_was_lost_writes_nothing(session: Session, team: Database) -> None:
    final_backups.plan(session, team, None)
    final_backups.put_aside(session, team)
    session.commit()
    (host,) = final_backups.due_hosts(session, 1)
    _, (row,) = final_backups.take(session, host, 5)
    session.commit()
    other = uuid.uuid4()
    assert not final_backups.renew(session, other)
    assert not final_backups.holds(session, other, team.id)
    final_backups.put_off(session, other, row, "too late")
    final_backups.done(session, other, [team.id])
    session.commit()
    session.refresh(row)
    assert row.error is None
    assert final_backups.due_hosts(session, 1) == []


def test_what_people_wait_for_comes_first_but_not_for_ever(session: Session, team: Database) -> None:
    final_backups.plan(session, team, None)
    final_backups.put_aside(session, team)
    operation = make_operation(session, team, state="running")
    session.commit()
    assert final_backups.due_hosts(session, 1) == []
    row = final_backups.of_database(session, team)
    assert row is not None
    row.held_at = datetime.now(UTC) - final_backups.PATIENCE * 2
    session.commit()
    assert final_backups.due_hosts(session, 1) == [team.host]
    row.held_at = datetime.now(UTC)
    operation.state, operation.ended_at = "succeeded", datetime.now(UTC) - final_backups.QUIET * 2
    session.commit()
    assert final_backups.due_hosts(session, 1) == [team.host]


def failing(session: Session, database: Database) -> FinalBackup:
    """Its final backup, which was tried once and failed."""
    planned = backups.plan_backup(session, database, "final")
    final_backups.plan(session, database, planned)
    final_backups.put_aside(session, database)
    database.deleted_at = datetime.now(UTC)
    session.commit()
    return try_once(session, database)


def try_once(session: Session, database: Database) -> FinalBackup:
    session.execute(update(FinalBackup).values(next_attempt_at=func.now()))
    session.commit()
    lease, (taken,) = final_backups.take(session, database.host, 5)
    final_backups.put_off(session, lease, taken, "A page is damaged.", retryable=False)
    session.commit()
    return session.scalars(select(FinalBackup).execution_options(populate_existing=True)).one()


def test_one_that_cannot_be_made_ends_in_bounded_time_and_is_told(session: Session, team: Database) -> None:
    row = failing(session, team)
    text = session.scalars(select(QueuedMail.text)).first() or ""
    ends_at = final_backups.ends_at(row)
    assert ends_at is not None
    assert f"{ends_at.astimezone(UTC):%Y-%m-%d}" in text
    assert "Bring the database back" in text
    session.execute(update(FinalBackup).values(held_at=func.now() - final_backups.TRIED_FOR))
    session.commit()
    session.expire_all()
    row = try_once(session, team)
    assert (row.backup_id, row.error) == (None, "A page is damaged.")
    assert session.scalars(select(Backup.state)).one() == "failed"
    assert len(mailed(session)) == 4
    assert [due.id for due in final_backups.due_hosts(session, 1)] == [team.host_id]  # to be dropped


def test_a_deleted_database_counts_until_it_is_gone(session: Session, team: Database) -> None:
    limit = plans.plan_of(team.owner).databases
    for number in range(limit - 1):
        make_database(session, team.host, team.owner, name=f"other-{number}")
    row = failing(session, team)
    with pytest.raises(PlanLimitReached, match=r"shop, which was deleted, counts until"):
        plans.require_room(session, team.owner)
    plans.require_room(session, team.owner, returning=team)
    session.delete(row)
    session.flush()
    plans.require_room(session, team.owner)


def test_the_mail_says_what_and_where() -> None:
    mail = mails.backup_failed("alice@example.com", "Shop", "The backup failed: no space.", "/databases/1/backups")
    assert "Shop" in mail.subject
    assert "The backup failed: no space." in mail.text
