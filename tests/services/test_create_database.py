import threading
from collections.abc import Callable

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, sessionmaker

from tests.services.conftest import make_actor
from webapp.models import AuditEvent, Database, Host, Operation
from webapp.services import databases
from webapp.services.actors import Actor
from webapp.services.databases import DatabaseSpec
from webapp.services.errors import HostUnavailable, KeyScopeDenied, NameTaken, PlanLimitReached, ValidationFailed


def count(session: Session, model: type) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_it_works(session: Session, alice: Actor, host: Host) -> None:
    operation = databases.create_database(session, alice, DatabaseSpec("My Shop", "my-shop"))
    session.commit()

    database = operation.database
    assert (database.name, database.display_name, database.status) == ("my-shop", "My Shop", "creating")
    assert database.verifier is not None
    assert database.verifier.startswith("SCRAM-SHA-256$4096:")
    assert (operation.kind, operation.state, operation.host_id) == ("database.create", "queued", host.id)
    assert operation.generation == database.generation
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "database.create")).one()
    assert (event.subject, event.actor_label, event.operation_id) == ("my-shop", "alice@example.com", operation.id)
    locks = session.scalars(text("SELECT lock FROM procrastinate_jobs")).all()
    assert list(locks) == [f"host:{host.id}"]


def test_the_connection_string_opens_with_the_stored_password(session: Session, alice: Actor) -> None:
    database = databases.create_database(session, alice, DatabaseSpec("My Shop", "my-shop")).database

    given = databases.credentials(database)

    assert given.connection_string == (
        f"postgresql://my-shop:{given.password}@db1.example.com:6432/my-shop?sslmode=require"
    )
    assert given.direct_connection_string == given.connection_string.replace(":6432/", ":6433/")
    assert given.password not in repr(given)
    assert given.password.encode() not in (database.password_encrypted or b"")


def test_a_name_is_derived_from_the_display_name(session: Session, alice: Actor) -> None:
    database = databases.create_database(session, alice, DatabaseSpec("  Ünïcode & Söhne 2!  ")).database

    assert database.name.startswith("unicode-sohne-2-")
    assert database.display_name == "Ünïcode & Söhne 2!"


MALFORMED = [
    "",
    "a",
    "ab",
    "1abc",
    "-abc",
    "abc-",
    "Abc",
    "a_b",
    "a b c",
    "a" * 51,
    "abc\n",
    "abc;drop",
    "abc'",
    "\u00e1bc",
    "abc\0",
]
RESERVED = ["postgres", "template1", "pgbouncer", "all", "none", "public", "replication", "dbhost-control"]


@pytest.mark.parametrize("name", MALFORMED + RESERVED)
def test_a_bad_or_reserved_name_is_refused(session: Session, alice: Actor, name: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        databases.create_database(session, alice, DatabaseSpec("Shop", name))

    assert list(refused.value.errors or {}) == ["name"]
    assert count(session, Database) == 0


@pytest.mark.parametrize("display_name", ["", "   ", "a" * 101, "two\nlines", "nul\0"])
def test_a_bad_display_name_is_refused(session: Session, alice: Actor, display_name: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        databases.create_database(session, alice, DatabaseSpec(display_name, "shop"))

    assert list(refused.value.errors or {}) == ["displayName"]


def test_a_taken_name_is_refused_and_leaves_the_transaction_usable(
    session: Session, shop: Database, bob: Actor
) -> None:
    with pytest.raises(NameTaken):
        databases.create_database(session, bob, DatabaseSpec("Mine", "shop"))

    databases.create_database(session, bob, DatabaseSpec("Mine", "shop-2"))
    session.commit()
    assert count(session, Database) == 2


def test_the_plan_has_no_room(session: Session, host: Host) -> None:
    carol = make_actor(session, "carol@example.com", plan="free")
    databases.create_database(session, carol, DatabaseSpec("One", "one"))

    with pytest.raises(PlanLimitReached, match="Free plan allows 1 database"):
        databases.create_database(session, carol, DatabaseSpec("Two", "two"))
    assert count(session, Operation) == 1


def test_two_requests_at_the_limit_take_turns(
    session: Session, control_sessions: sessionmaker[Session], host: Host
) -> None:
    carol = make_actor(session, "carol@example.com", plan="free")
    session.commit()
    outcomes: list[str] = []

    def create(name: str) -> None:
        with control_sessions() as own:
            try:
                databases.create_database(own, carol, DatabaseSpec("X", name))
                own.commit()
                outcomes.append("created")
            except PlanLimitReached:
                outcomes.append("refused")

    run_together([lambda: create("one"), lambda: create("two"), lambda: create("three")])

    assert sorted(outcomes) == ["created", "refused", "refused"]


def run_together(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("state", ["draining", "offline"])
def test_no_host_takes_it(session: Session, alice: Actor, host: Host, state: str) -> None:
    host.state = state

    with pytest.raises(HostUnavailable):
        databases.create_database(session, alice, DatabaseSpec("Shop", "shop"))


def test_the_host_with_the_most_room_gets_it(session: Session, alice: Actor, shop: Database) -> None:
    session.add(Host(name="db2", public_host="db2.example.com", pgbouncer_port=6432))
    session.flush()

    database = databases.create_database(session, alice, DatabaseSpec("Second", "second")).database

    assert (shop.host.name, database.host.name) == ("db1", "db2")


def test_a_selected_key_cannot_create(session: Session, alice: Actor, shop: Database) -> None:
    from webapp.services import api_keys

    assert alice.user is not None
    key = api_keys.create_key(session, alice, alice.user, scope="selected", databases=["shop"]).api_key

    with pytest.raises(KeyScopeDenied):
        databases.create_database(session, Actor("api_key", alice.user, key), DatabaseSpec("Two", "two"))
