from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import AuditEvent, Database, Operation
from webapp.services import access, databases, operations
from webapp.services.actors import Actor
from webapp.services.databases import DatabaseSpec
from webapp.services.errors import Conflict, DatabaseNotActive, DatabaseNotFound, OperationInProgress, OperationNotFound

Change = Callable[[Session, Actor, Database], Operation]
CHANGES: dict[str, tuple[Change, str]] = {
    "delete": (databases.delete_database, "absent"),
    "reset_password": (databases.reset_password, "present"),
    "repair_ownership": (databases.repair_ownership, "present"),
    "start": (databases.start_database, "present"),
    "stop": (databases.stop_database, "stopped"),
    "restart": (databases.restart_database, "present"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_works(session: Session, alice: Actor, shop: Database, name: str) -> None:
    change, desired_state = CHANGES[name]
    before = shop.generation

    operation = change(session, alice, shop)
    session.commit()

    assert (operation.kind, operation.state) == (f"database.{name}", "queued")
    assert shop.desired_state == desired_state
    assert shop.generation == operation.generation > before
    events = session.scalars(select(AuditEvent).where(AuditEvent.operation_id == operation.id)).all()
    assert [event.action for event in events] == [f"database.{name}"]


def test_reset_password_makes_another_password(session: Session, alice: Actor, shop: Database) -> None:
    old, old_verifier = databases.credentials(shop).password, shop.verifier

    databases.reset_password(session, alice, shop)

    assert databases.credentials(shop).password != old
    assert shop.verifier != old_verifier


@pytest.mark.parametrize("name", CHANGES)
def test_one_open_operation_at_a_time(session: Session, alice: Actor, shop: Database, name: str) -> None:
    databases.stop_database(session, alice, shop)
    session.commit()

    with pytest.raises(OperationInProgress):
        CHANGES[name][0](session, alice, shop)


def test_nothing_changes_while_it_is_being_created(session: Session, alice: Actor, host: object) -> None:
    database = databases.create_database(session, alice, DatabaseSpec("New", "new-one")).database
    session.commit()

    with pytest.raises(OperationInProgress):
        databases.delete_database(session, alice, database)


@pytest.mark.parametrize("name", ["repair_ownership", "restart"])
def test_a_stopped_database_refuses_what_needs_it_open(
    session: Session, alice: Actor, shop: Database, name: str
) -> None:
    shop.status = "stopped"
    session.commit()

    with pytest.raises(DatabaseNotActive):
        CHANGES[name][0](session, alice, shop)


def test_the_name_is_free_after_deletion(session: Session, alice: Actor, bob: Actor, shop: Database) -> None:
    operation = databases.delete_database(session, alice, shop)
    operation.state, shop.deleted_at = "succeeded", operation.created_at
    session.commit()

    again = databases.create_database(session, bob, DatabaseSpec("Mine now", "shop"))

    assert again.generation > operation.generation


@pytest.mark.parametrize("permission", access.PERMISSIONS)
def test_a_stranger_finds_nothing(session: Session, bob: Actor, shop: Database, permission: str) -> None:
    with pytest.raises(DatabaseNotFound):
        access.require(session, bob, shop.id, permission)


def test_cancel_takes_back_what_never_reached_a_host(session: Session, alice: Actor, shop: Database) -> None:
    operation = databases.delete_database(session, alice, shop)
    session.commit()

    operations.cancel_operation(session, alice, operation.id)
    session.commit()

    session.refresh(shop)
    assert (operation.state, shop.desired_state, shop.status) == ("cancelled", "present", "active")
    with pytest.raises(Conflict, match="later operation"):
        operations.retry_operation(session, alice, operation.id)


def test_cancel_of_a_queued_creation_frees_the_name(session: Session, alice: Actor, host: object) -> None:
    operation = databases.create_database(session, alice, DatabaseSpec("New", "new-one"))
    session.commit()

    operations.cancel_operation(session, alice, operation.id)
    session.commit()

    assert operation.database.deleted_at is not None
    assert operation.database.password_encrypted is None
    databases.create_database(session, alice, DatabaseSpec("New", "new-one"))


def test_cancel_of_a_running_operation_is_a_request(session: Session, alice: Actor, shop: Database) -> None:
    operation = databases.stop_database(session, alice, shop)
    operation.state, operation.attempt = "running", 1
    session.commit()

    operations.cancel_operation(session, alice, operation.id)

    assert (operation.state, operation.cancel_requested_at is not None) == ("running", True)


def test_an_ended_operation_cannot_be_cancelled(session: Session, alice: Actor, shop: Database) -> None:
    operation = databases.stop_database(session, alice, shop)
    operation.state = "succeeded"
    session.commit()

    with pytest.raises(Conflict):
        operations.cancel_operation(session, alice, operation.id)


def test_a_failed_operation_can_be_retried(session: Session, alice: Actor, shop: Database) -> None:
    operation = databases.stop_database(session, alice, shop)
    operation.state, operation.error_code, operation.attempt = "failed", "AGENT_ERROR", 5
    session.commit()

    operations.retry_operation(session, alice, operation.id)
    session.commit()

    assert (operation.state, operation.error_code, operation.attempt) == ("queued", None, 0)


def test_an_overtaken_operation_is_not_retried(session: Session, alice: Actor, shop: Database) -> None:
    operation = databases.stop_database(session, alice, shop)
    operation.state = "failed"
    session.commit()
    databases.start_database(session, alice, shop).state = "succeeded"
    session.commit()

    with pytest.raises(Conflict, match="later operation"):
        operations.retry_operation(session, alice, operation.id)


def test_a_stranger_finds_no_operation(session: Session, alice: Actor, bob: Actor, shop: Database) -> None:
    operation = databases.stop_database(session, alice, shop)
    session.commit()

    for ask in (operations.find_operation, operations.cancel_operation, operations.retry_operation):
        with pytest.raises(OperationNotFound):
            ask(session, bob, operation.id)
    assert operations.list_operations(session, bob).total == 0
