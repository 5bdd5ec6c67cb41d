"""What becomes of a check's findings, and what a platform admin can do about them."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests.services.conftest import make_actor
from tests.support.differences import ALTERED, FILES, altered, keep, lease, stranger
from webapp.models import AuditEvent, Database, Difference, Host, HostCheck
from webapp.services import databases, differences, drift
from webapp.services.actors import Actor
from webapp.services.drift import Findings
from webapp.services.errors import Conflict, DifferenceNotFound, NotFound, OperationInProgress


@pytest.fixture
def root(session: Session, host: Host) -> Actor:
    return make_actor(session, "root@example.com", admin=True)


def found(session: Session) -> dict[str, list[str]]:
    session.expire_all()
    return {one.subject: one.sentences for one in session.scalars(select(Difference))}


def one(session: Session) -> Difference:
    session.expire_all()
    return session.scalars(select(Difference)).one()


def test_it_works(session: Session, root: Actor, host: Host, shop: Database) -> None:
    keep(session, host, altered(shop), FILES, stranger(), looked_at=(shop,))
    [seen] = differences.by_host(session, root)
    assert [(row.kind, row.subject, row.repairable) for row in seen.open_differences] == [
        ("database", "shop", True), ("files", "PgBouncer's files", True), ("stranger", "roles: helper", False),
    ]  # fmt: skip
    assert seen.checked_at is not None
    first = {row.subject: row.since for row in seen.differences}
    keep(session, host, altered(shop), looked_at=(shop,))
    assert found(session) == {"shop": [ALTERED]}
    assert one(session).since == first["shop"]
    keep(session, host, looked_at=(shop,))
    assert found(session) == {}


def test_a_host_is_leased_to_one_worker(session: Session, host: Host) -> None:
    assert [taken.host_name for taken in drift.take_due(session, 3600, 60, 5)] == ["db1"]
    assert drift.take_due(session, 3600, 60, 5) == []


def test_a_host_with_work_is_checked_later_but_not_for_ever(
    session: Session, alice: Actor, host: Host, shop: Database
) -> None:
    databases.restart_database(session, alice, shop)
    drift.ask_for_check(session)
    assert drift.take_due(session, 3600, 60, 5) == []
    session.execute(text("UPDATE host_checks SET next_check_at = now() - interval '61 minutes'"))
    assert len(drift.take_due(session, 3600, 60, 5)) == 1


def test_what_changed_meanwhile_keeps_its_old_finding(
    session: Session, alice: Actor, host: Host, shop: Database
) -> None:
    keep(session, host, altered(shop), FILES, looked_at=(shop,))
    taken, generation = lease(session, host), shop.generation
    databases.restart_database(session, alice, shop)
    session.execute(text("UPDATE operations SET state = 'running' WHERE kind = 'database.restart'"))
    assert drift.keep(session, taken, Findings({"shop": generation}, [altered(shop, "Something half done")]))
    session.commit()
    assert found(session) == {"shop": [ALTERED], "PgBouncer's files": ["Restore hba.conf"]}


def test_a_lost_lease_keeps_nothing(session: Session, host: Host, shop: Database) -> None:
    lost = lease(session, host)
    lease(session, host)
    assert not drift.keep(session, lost, Findings({}, [stranger()]))
    assert not drift.fail(session, lost, "The host cannot be reached.")
    assert found(session) == {}


def test_a_check_that_saw_nothing_keeps_what_was_found(session: Session, host: Host, shop: Database) -> None:
    keep(session, host, altered(shop), stranger(), looked_at=(shop,))
    assert drift.fail(session, lease(session, host), "The host cannot be reached.")
    session.commit()
    assert len(found(session)) == 2
    check = session.get_one(HostCheck, host.id)
    assert check.error == "The host cannot be reached."
    assert drift.keep(session, lease(session, host), Findings({}, [], frozenset(), "PostgreSQL cannot be reached."))
    assert len(found(session)) == 2


def test_what_was_created_during_the_check_is_no_stranger(session: Session, host: Host, shop: Database) -> None:
    keep(session, host, stranger("shop"), stranger("helper"), looked_at=(shop,))
    assert set(found(session)) == {"roles: helper"}


def test_a_database_that_is_gone_takes_its_difference_along(session: Session, host: Host, shop: Database) -> None:
    keep(session, host, altered(shop), looked_at=(shop,))
    session.execute(text("UPDATE databases SET deleted_at = now()"))
    keep(session, host)
    assert found(session) == {}


def test_ignored_until_it_changes(session: Session, root: Actor, host: Host, shop: Database) -> None:
    keep(session, host, altered(shop), looked_at=(shop,))
    ignored = differences.ignore(session, root, one(session).id)
    session.commit()
    assert (ignored.ignored_by, ignored.ignored_at is not None) == ("root@example.com", True)
    assert differences.of_database(session, shop) is None
    keep(session, host, altered(shop), looked_at=(shop,))
    assert one(session).ignored_by == "root@example.com"
    keep(session, host, altered(shop, ALTERED, "More of it"), looked_at=(shop,))
    assert (one(session).ignored_at, one(session).ignored_by) == (None, None)
    differences.ignore(session, root, one(session).id)
    assert differences.notice(session, root, one(session).id).ignored_at is None
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id.desc()).limit(3)).all()
    assert actions == ["drift.notice", "drift.ignore", "drift.ignore"]


def test_repair_queues_a_converge_of_that_database(session: Session, root: Actor, host: Host, shop: Database) -> None:
    keep(session, host, altered(shop), FILES, looked_at=(shop,))
    operation = differences.repair(session, root, one_of(session, "shop").id)
    assert (operation.kind, operation.database, operation.generation) == ("database.repair", shop, shop.generation)
    assert shop.desired_state == "present"
    with pytest.raises(OperationInProgress):
        differences.repair(session, root, one_of(session, "shop").id)
    with pytest.raises(Conflict, match="free to be converged"):
        differences.repair(session, root, one_of(session, "PgBouncer's files").id)
    operation.state = "succeeded"
    session.flush()
    assert differences.repair(session, root, one_of(session, "PgBouncer's files").id).database == shop


def one_of(session: Session, subject: str) -> Difference:
    return session.scalars(select(Difference).where(Difference.subject == subject)).one()


def test_a_stranger_is_left_alone(session: Session, root: Actor, host: Host) -> None:
    keep(session, host, stranger())
    with pytest.raises(Conflict, match="for a person to look at"):
        differences.repair(session, root, one(session).id)


def test_a_missing_database_is_said_to_be_lost(session: Session, host: Host, shop: Database) -> None:
    keep(session, host, altered(shop, 'CREATE DATABASE "shop" TEMPLATE template0'), looked_at=(shop,))
    assert one(session).loses_data
    keep(session, host, altered(shop), looked_at=(shop,))
    assert not one(session).loses_data


ASKED: list[Callable[[Session, Actor, Difference], object]] = [
    lambda session, actor, _: differences.by_host(session, actor),
    lambda session, actor, _: differences.check_now(session, actor),
    lambda session, actor, row: differences.repair(session, actor, row.id),
    lambda session, actor, row: differences.ignore(session, actor, row.id),
    lambda session, actor, row: differences.notice(session, actor, row.id),
]


@pytest.mark.parametrize("ask", ASKED)
def test_it_is_there_for_platform_admins_alone(
    session: Session, alice: Actor, host: Host, shop: Database, ask: Callable[..., object]
) -> None:
    keep(session, host, altered(shop), looked_at=(shop,))
    with pytest.raises(NotFound):
        ask(session, alice, one(session))


def test_a_difference_that_is_gone_is_not_there(session: Session, root: Actor, host: Host, shop: Database) -> None:
    with pytest.raises(DifferenceNotFound):
        differences.ignore(session, root, shop.id)
