"""Copies that moves leave behind: when their end is queued, and what they stand in the way of."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.support.rows import make_database, make_host, make_user
from webapp.models import AuditEvent, Copy, Database, Host, HostReport, Operation
from webapp.services import copies, hosts, moves, operations
from webapp.services.actors import SYSTEM
from webapp.services.errors import HostUnavailable

NAME = "shop-4k2m9x"


@pytest.fixture
def left(session):
    """A database that is on db2, with a copy on db1."""
    db1, db2 = make_host(session, "db1"), make_host(session, "db2")
    database = make_database(session, db2, make_user(session), name=NAME, status="active")
    copies.note(session, database, db1.id)
    session.commit()
    return database


def queue(session):
    found = copies.queue_due(session)
    session.commit()
    return found


def change(session, model, **values):
    session.execute(update(model).values(**values))
    session.commit()


def test_its_end_is_queued_on_its_host_once(session, left):
    assert (queue(session), queue(session)) == (1, 0)
    operation = session.scalars(select(Operation)).one()
    assert (operation.kind, operation.lane, operation.host.name) == ("database.drop_copy", "long", "db1")
    event = session.scalars(select(AuditEvent)).one()
    assert (event.action, event.details) == ("database.drop_copy", {"host": "db1"})


def test_one_that_failed_is_tried_again_later(session, left):
    queue(session)
    change(session, Operation, state="failed")
    assert queue(session) == 0
    change(session, Operation, created_at=datetime.now(UTC) - copies.AGAIN_AFTER - timedelta(seconds=1))
    assert queue(session) == 1


def test_a_host_that_was_away_is_asked_again_when_it_has_reported_since(session, left):
    queue(session)
    ended = datetime.now(UTC)
    change(session, Operation, state="failed", error_code="HOST_UNAVAILABLE", ended_at=ended)
    report = HostReport(host_id=hosts.by_name(session, "db1").id, sampled_at=ended - timedelta(seconds=1))
    session.add(report)
    assert queue(session) == 0
    report.sampled_at = ended + timedelta(seconds=1)
    assert queue(session) == 1
    change(session, Operation, state="failed", error_code="AGENT_ERROR", ended_at=ended)
    assert queue(session) == 0


def test_a_host_that_cannot_be_reached_is_waited_for(session, left):
    db1 = hosts.by_name(session, "db1")
    session.add(HostReport(host_id=db1.id, error="The host cannot be reached."))
    session.commit()
    assert queue(session) == 0
    change(session, HostReport, error=None)
    db1.state = "offline"
    session.commit()
    assert queue(session) == 0
    db1.state = "draining"
    session.commit()
    assert queue(session) == 1


def test_a_backup_goes_first(session, left):
    operations.enqueue(session, "backup.create", left, SYSTEM, lane="long")
    assert queue(session) == 0


def test_the_databases_own_host_has_no_copy(session, left):
    """Whatever the rows say: what is there is the database."""
    session.execute(update(Database).values(host_id=hosts.by_name(session, "db1").id))
    session.commit()
    assert queue(session) == 0


def test_a_host_that_was_removed_took_it_along(session, left):
    session.execute(update(Host).where(Host.name == "db1").values(removed_at=datetime.now(UTC)))
    assert queue(session) == 0
    assert session.scalars(select(Copy)).all() == []


def test_a_new_database_of_its_name_goes_elsewhere(session, left):
    change(session, Database, deleted_at=datetime.now(UTC))
    session.execute(update(Host).where(Host.name == "db2").values(capacity=1))
    assert hosts.place(session).name == "db1"
    assert hosts.place(session, copies.none_on_host(NAME, uuid.uuid4())).name == "db2"
    assert hosts.place(session, copies.none_on_host("another-name", left.id)).name == "db2"
    assert hosts.place(session, copies.none_on_host("another-name", uuid.uuid4())).name == "db1"


def test_nor_does_it_move_there(session, left):
    change(session, Database, deleted_at=datetime.now(UTC))
    again = make_database(session, left.host, left.owner, name=NAME, status="active")
    session.commit()
    with pytest.raises(HostUnavailable, match="still has a deleted database"):
        moves.move_database(session, SYSTEM, again, "db1")


def test_it_is_no_stranger(session, left):
    db1 = hosts.by_name(session, "db1")
    assert (copies.names_on(session, db1.id), copies.names_on(session, left.host_id)) == ([NAME], [])
