"""What a database's size lets its clients do."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from tests.services.conftest import make_actor
from webapp.models import AuditEvent, Database, Host, Operation
from webapp.services import databases, operations, plans, storage_limits
from webapp.services.actors import Actor
from webapp.services.errors import Conflict
from webapp.services.storage_limits import SLACK_BYTES, next_state
from webapp.worker import desired

GIB = 2**30
SLACK = int(GIB * 0.05)


@pytest.mark.parametrize(
    ("state", "size", "mark", "expected"),
    [
        ("open", 0, None, "open"),
        ("open", GIB - 1, None, "open"),
        ("open", GIB, None, "read_only"),
        ("open", 9 * GIB, None, "read_only"),
        ("read_only", GIB, GIB, "read_only"),
        ("read_only", int(GIB * 0.95) + 1, GIB, "read_only"),
        ("read_only", int(GIB * 0.94), GIB, "open"),
        ("read_only", GIB + SLACK, GIB, "read_only"),
        ("read_only", GIB + SLACK + 1, GIB, "shut"),
        ("read_only", 3 * GIB, 3 * GIB, "read_only"),
        ("shut", 2 * GIB, GIB, "shut"),
        ("shut", int(GIB * 0.94), GIB, "open"),
    ],
)
def test_what_follows_from_a_size(state: str, size: int, mark: int | None, expected: str) -> None:
    assert next_state(state, size, GIB, mark) == expected


def test_a_small_plan_has_some_slack_too() -> None:
    assert storage_limits.slack(1) == SLACK_BYTES


@pytest.fixture
def sized(session: Session, host: Host, shop: Database) -> Callable[[float], Database]:
    """The shop after a report that says it takes this share of its plan, and after what follows from that."""
    limit = plans.all_plans()["pro"].storage_bytes

    def size(share: float) -> Database:
        shop.size_bytes = int(limit * share)
        session.commit()
        storage_limits.enforce(session, host.id)
        session.commit()
        return shop

    return size


def done(session: Session) -> list[str]:
    """End what was queued; which kinds that were."""
    queued = session.scalars(select(Operation).where(Operation.state == "queued")).all()
    for operation in queued:
        operation.state = "succeeded"
    session.commit()
    return [operation.kind for operation in queued]


def test_it_becomes_read_only_and_comes_back(session: Session, sized: Callable[[float], Database]) -> None:
    assert sized(0.99).storage_state == "open"
    assert done(session) == []
    shop = sized(1.0)
    assert (shop.storage_state, shop.status, shop.desired_state) == ("read_only", "active", "present")
    assert shop.storage_mark_bytes == shop.size_bytes
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "database.storage_limit")).one()
    assert (event.actor_type, event.details["to"]) == ("system", "read_only")
    sent = desired.tenant_database(shop)
    assert (sent["read_only"], sent["state"]) == (True, "present")
    assert done(session) == ["database.storage_limit"]
    assert sized(0.96).storage_state == "read_only"
    assert done(session) == []
    assert sized(0.5).storage_state == "open"
    assert (shop.storage_mark_bytes, desired.tenant_database(shop)["read_only"]) == (None, False)
    assert done(session) == ["database.storage_limit"]


def test_a_larger_plan_opens_it(session: Session, sized: Callable[[float], Database]) -> None:
    shop = sized(1.1)
    done(session)
    shop.owner.plan = "business"
    assert sized(1.1).storage_state == "open"


def test_who_writes_all_the_same_is_shut_out(
    session: Session, alice: Actor, sized: Callable[[float], Database]
) -> None:
    sized(1.2)
    done(session)
    assert sized(1.1).storage_state == "read_only"  # the mark goes down with it
    shop = sized(1.16)
    assert (shop.storage_state, shop.status) == ("shut", "active")
    sent = desired.tenant_database(shop)
    assert (sent["state"], sent["read_only"]) == ("stopped", True)
    done(session)
    operation = storage_limits.clean_up(session, alice, shop)
    assert (operation.kind, shop.storage_state) == ("database.clean_up", "read_only")
    assert desired.tenant_database(shop)["state"] == "present"
    done(session)
    assert sized(1.2).storage_state == "read_only"
    assert sized(1.25).storage_state == "shut"


def test_it_is_opened_for_cleaning_up_only_so_often(
    session: Session, alice: Actor, host: Host, sized: Callable[[float], Database]
) -> None:
    shop = sized(1.2)
    done(session)
    with pytest.raises(Conflict, match="not shut"):
        storage_limits.clean_up(session, alice, shop)
    for _ in range(storage_limits.CLEAN_UPS):
        shop.storage_state = "shut"
        session.flush()
        storage_limits.clean_up(session, alice, shop)
        done(session)
    shop.storage_state = "shut"
    session.flush()
    with pytest.raises(Conflict, match="often enough"):
        storage_limits.clean_up(session, alice, shop)
    root = make_actor(session, "root@example.com", admin=True)
    assert storage_limits.clean_up(session, root, shop).kind == "database.clean_up"


def test_nobody_cancels_the_limit(session: Session, alice: Actor, sized: Callable[[float], Database]) -> None:
    sized(1.2)
    queued = session.scalars(select(Operation).where(Operation.kind == "database.storage_limit")).one()
    with pytest.raises(Conflict, match="storage limit"):
        operations.cancel_operation(session, alice, queued.id)


def test_a_database_with_work_is_left_to_the_next_report(
    session: Session, alice: Actor, sized: Callable[[float], Database], shop: Database
) -> None:
    databases.restart_database(session, alice, shop)
    session.commit()
    assert sized(1.2).storage_state == "open"
    done(session)
    assert sized(1.2).storage_state == "read_only"


def test_it_waits_for_nobody(
    session: Session, host: Host, shop: Database, control_sessions: sessionmaker[Session]
) -> None:
    shop.size_bytes = 2**40
    session.commit()
    with control_sessions() as other:
        databases.lock(other, other.get_one(Database, shop.id))
        assert storage_limits.enforce(session, host.id) == 0
        session.commit()
    assert storage_limits.enforce(session, host.id) == 1
