"""One operation end to end, and many in a handful of runs."""

import subprocess
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.rows import ask, create_many, make_endpoint
from tests.worker.conftest import PATIENCE_S, Workers, wait_until
from webapp.models import Host, Run, RunStep, WebhookDelivery


def test_it_works(workers: Workers, host: Host, session: Session, states: Callable[[], dict[str, int]]) -> None:
    (operation,) = create_many(session, host, 1)
    workers.start()
    wait_until(lambda: states() == {"succeeded": 1})
    session.refresh(operation)
    database = operation.database
    session.refresh(database)
    assert (database.status, database.applied_generation) == ("active", database.generation)
    assert operation.changes == [f"CONVERGE {database.name} present"]
    assert (operation.attempt, operation.error_code) == (1, None)
    run = session.get_one(Run, operation.run_id)
    assert (run.state, run.step, run.steps_total, run.fence) == ("succeeded", 3, 3, operation.fence)
    steps = session.scalars(select(RunStep).order_by(RunStep.number)).all()
    assert [(step.name, step.state) for step in steps] == [
        ("Pretend to shut out clients", "ok"),
        ("Pretend to converge", "ok"),  # no_log hides "changed" too
        ("Report each database", "ok"),
    ]
    assert all(step.ended_at for step in steps)


def test_stop_and_delete_set_what_is_true(
    workers: Workers, host: Host, session: Session, states: Callable[[], dict[str, int]]
) -> None:
    (first, second) = create_many(session, host, 2)
    make_endpoint(session, first.database.owner, "database.created", "database.deleted")
    session.commit()
    workers.start()
    wait_until(lambda: states() == {"succeeded": 2})
    ask(session, first.database, "database.stop", "stopped")
    ask(session, second.database, "database.delete", "absent")
    session.commit()
    wait_until(lambda: states() == {"succeeded": 4})
    session.expire_all()
    assert (first.database.status, first.database.deleted_at) == ("stopped", None)
    gone = second.database
    assert gone.deleted_at is not None
    assert (gone.verifier, gone.password_encrypted) == (None, None)
    told = session.execute(select(WebhookDelivery.event, WebhookDelivery.payload)).all()
    assert sorted((row.event, row.payload["data"]["database"]["name"]) for row in told) == [
        *sorted(("database.created", database.name) for database in (first.database, gone)),
        ("database.deleted", gone.name),
    ]


def test_a_hundred_operations_share_a_handful_of_runs(
    workers: Workers, host: Host, session: Session, states: Callable[[], dict[str, int]]
) -> None:
    workers.start()
    workers.flag("wait").touch()
    create_many(session, host, 1)
    wait_until(workers.flag("entered").exists)
    create_many(session, host, 100)
    workers.flag("wait").unlink()
    wait_until(lambda: states() == {"succeeded": 101})
    assert sum(workers.runs()) == 101
    assert len(workers.runs()) <= 3
    names = [entry["name"] for entry in workers.applied()]
    assert len(names) == len(set(names)) == 101


def test_sigterm_finishes_the_run_and_leaves_nothing(
    workers: Workers, host: Host, session: Session, states: Callable[[], dict[str, int]]
) -> None:
    process = workers.start(cold=True)
    workers.flag("wait").touch()
    create_many(session, host, 1)
    wait_until(workers.flag("entered").exists)
    process.terminate()
    workers.flag("wait").unlink()
    assert process.wait(PATIENCE_S) == 0
    assert states() == {"succeeded": 1}
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(workers.home) not in listed
