"""The allowlist: replaced as a whole, one network at a time, and taken back with its operation."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import AllowlistEntry, AuditEvent, Database
from webapp.services import allowlist, databases, operations
from webapp.services.actors import Actor
from webapp.services.errors import Conflict, DatabaseNotActive, OperationInProgress, ValidationFailed
from webapp.worker.desired import tenant_database

OFFICE, HOME = ("203.0.113.0/24", "Office"), ("2001:db8::/32", "Home")


def listed(session: Session, database: Database) -> dict[str, str]:
    """What stands in the table."""
    query = select(AllowlistEntry).where(AllowlistEntry.database_id == database.id).order_by(AllowlistEntry.cidr)
    return {str(entry.cidr): entry.label for entry in session.scalars(query)}


def put(session: Session, actor: Actor, database: Database, *entries: tuple[str, str]) -> None:
    """Replace the list and let the operation succeed."""
    allowlist.replace_allowlist(session, actor, database, entries).state = "succeeded"
    session.commit()


def test_it_works(session: Session, alice: Actor, shop: Database) -> None:
    before = shop.generation
    operation = allowlist.replace_allowlist(session, alice, shop, [HOME, OFFICE])
    session.commit()

    assert (operation.kind, operation.state) == ("database.allowlist", "queued")
    assert shop.generation == operation.generation > before
    assert listed(session, shop) == dict([OFFICE, HOME])
    session.expire_all()
    assert tenant_database(shop)["networks"] == ["203.0.113.0/24", "2001:db8::/32"]
    event = session.scalars(select(AuditEvent).where(AuditEvent.operation_id == operation.id)).one()
    assert (event.action, event.subject) == ("database.allowlist", "shop")
    assert event.details == {"added": ["203.0.113.0/24", "2001:db8::/32"], "removed": []}


def test_what_stays_keeps_its_row_and_gets_the_new_label(session: Session, alice: Actor, shop: Database) -> None:
    put(session, alice, shop, OFFICE, HOME)
    office = next(entry.id for entry in shop.allowlist if entry.label == "Office")

    put(session, alice, shop, (OFFICE[0], "Workshop"), ("::1", ""))

    assert listed(session, shop) == {OFFICE[0]: "Workshop", "::1/128": ""}
    assert session.get_one(AllowlistEntry, office).label == "Workshop"
    put(session, alice, shop)
    assert listed(session, shop) == {}


def test_two_changes_add_up(session: Session, alice: Actor, shop: Database) -> None:
    for entry in (OFFICE, HOME):
        allowlist.add_network(session, alice, shop, *entry).state = "succeeded"
        session.commit()
    allowlist.remove_network(session, alice, shop, OFFICE[0]).state = "succeeded"
    session.commit()

    assert listed(session, shop) == dict([HOME])
    with pytest.raises(ValidationFailed, match="entries"):
        allowlist.add_network(session, alice, shop, *HOME)
    session.rollback()
    with pytest.raises(Conflict, match="not on the allowlist"):
        allowlist.remove_network(session, alice, shop, OFFICE[0])


def test_the_same_network_of_two_databases_is_two_rows(session: Session, alice: Actor, shop: Database) -> None:
    blog = databases.create_database(session, alice, databases.DatabaseSpec("Blog", "blog"))
    blog.state, blog.database.status = "succeeded", "active"
    for database in (shop, blog.database):
        put(session, alice, database, OFFICE)
    put(session, alice, shop)

    assert listed(session, blog.database) == dict([OFFICE])


def test_a_wrong_entry_changes_nothing(session: Session, alice: Actor, shop: Database) -> None:
    put(session, alice, shop, OFFICE)
    with pytest.raises(ValidationFailed):
        allowlist.replace_allowlist(session, alice, shop, [HOME, ("10.0.0.1/8", "")])
    session.commit()
    assert listed(session, shop) == dict([OFFICE])


def test_cancel_of_what_never_reached_a_host_takes_it_back(session: Session, alice: Actor, shop: Database) -> None:
    put(session, alice, shop, OFFICE, ("::1", "Me"))
    operation = allowlist.replace_allowlist(session, alice, shop, [(OFFICE[0], "Other"), HOME])
    session.commit()

    operations.cancel_operation(session, alice, operation.id)
    session.commit()

    assert listed(session, shop) == {OFFICE[0]: "Office", "::1/128": "Me"}


def test_refusals(session: Session, alice: Actor, shop: Database) -> None:
    databases.stop_database(session, alice, shop)
    session.commit()
    with pytest.raises(OperationInProgress):
        allowlist.replace_allowlist(session, alice, shop, [OFFICE])
    session.rollback()
    shop.desired_state = "absent"
    session.commit()
    with pytest.raises(DatabaseNotActive):
        allowlist.replace_allowlist(session, alice, shop, [OFFICE])
    session.rollback()
    assert listed(session, shop) == {}
