"""Results of a batch are written together, and mean the same as if each were written alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

from tests.support.rows import ask, create_many, make_endpoint
from tests.worker.test_fence import all_well, give, take
from webapp.models import Difference, Host, Operation, WebhookDelivery
from webapp.worker import settle_many


@contextmanager
def counted(sessions: sessionmaker[Session]) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        sent.append(statement)

    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_a_large_batch_takes_no_more_statements_than_a_small_one(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    counts = []
    for size in (2, 20):
        create_many(session, host, size)
        batch = take(control_sessions, host)
        assert batch is not None
        with counted(control_sessions) as sent:
            give(control_sessions, batch, all_well(batch))
        counts.append(len(sent))
    session.expire_all()
    assert {operation.state for operation in session.scalars(select(Operation))} == {"succeeded"}
    assert counts[0] == counts[1] <= 8, counts


def test_each_database_is_as_if_it_had_been_alone(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    """Created, stopped and deleted in one batch: status, generation, changes, differences, webhooks."""
    operations = create_many(session, host, 3)
    databases = [operation.database for operation in operations]
    endpoint = make_endpoint(session, databases[0].owner, "database.created")
    about = {"kind": "database", "subject": databases[1].name, "sentences": ["differs"], "repairable": True}
    session.add(Difference(host_id=host.id, database_id=databases[1].id, **about))
    session.commit()
    first = take(control_sessions, host)
    assert first is not None
    outcome = all_well(first)
    outcome.results[databases[0].name] = outcome.results[databases[0].name].model_copy(update={"changes": ["CREATE"]})
    give(control_sessions, first, outcome)
    ask(session, databases[1], "database.stop", "stopped")
    ask(session, databases[2], "database.delete", "absent")
    session.commit()
    second = take(control_sessions, host)
    assert second is not None
    give(control_sessions, second, all_well(second))
    session.expire_all()
    assert [database.status for database in databases[:2]] == ["active", "stopped"]
    assert databases[2].deleted_at is not None
    assert all(database.applied_generation == database.generation for database in databases)
    assert operations[0].changes == ["CREATE"]
    assert session.scalars(select(Difference)).all() == []
    deliveries = session.scalars(select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id)).all()
    assert [delivery.event for delivery in deliveries] == ["database.created"] * 3


def test_a_result_under_a_lost_fence_changes_nothing(
    control_sessions: sessionmaker[Session], host: Host, session: Session
) -> None:
    create_many(session, host, 2)
    batch = take(control_sessions, host)
    assert batch is not None
    done = [(operation, ["CREATE"]) for operation in batch.operations]
    assert settle_many.succeed(session, done, batch.fence + 1) == set()
    session.expire_all()
    assert {operation.state for operation in session.scalars(select(Operation))} == {"running"}
