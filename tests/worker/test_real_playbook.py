"""The worker with the real databases.yml on a real host: what it sends, what it counts, what it believes."""

import secrets
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.dataplane import DataPlane, verifier
from tests.support.rows import ask, make_database, make_operation, make_user
from tests.worker.conftest import Workers, wait_until
from webapp.models import Database, Host, Operation, Run, RunStep
from webapp.services import doorbell
from webapp.worker import environment
from webapp.worker.desired import of_operation

States = Callable[[], dict[str, int]]
KINDS = {"present": "database.create", "stopped": "database.stop", "absent": "database.delete"}


@pytest.fixture
def real(workers: Workers, dataplane: DataPlane) -> Workers:
    """A worker whose host `local` is the throw-away data plane."""
    workers.start(playbook=environment.PLAYBOOK, DBHOST_INVENTORY=str(dataplane.inventory("local")))
    return workers


def create(session: Session, host: Host, password: str) -> Operation:
    database = make_database(session, host, make_user(session), verifier=verifier(password))
    operation = make_operation(session, database)
    doorbell.ring(session, host.id)
    session.commit()
    return operation


def finished(session: Session, operation: Operation) -> bool:
    session.expire_all()
    return operation.state in ("succeeded", "failed")


def test_create_stop_start_reset_delete(real: Workers, dataplane: DataPlane, host: Host, session: Session) -> None:
    first, second = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    operation = create(session, host, first)
    wait_until(lambda: finished(session, operation))
    database = operation.database
    assert (operation.state, operation.error_message, database.status) == ("succeeded", None, "active")
    dataplane.connect(database.name, first).close()

    def change(kind: str, state: str | None = None, **values: Any) -> None:
        for name, value in values.items():
            setattr(database, name, value)
        asked = ask(session, database, kind, state)
        session.commit()
        wait_until(lambda: finished(session, asked))
        assert (asked.state, asked.error_message) == ("succeeded", None)

    change("database.stop", "stopped")
    assert database.status == "stopped"
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(database.name, first)
    change("database.start", "present")
    dataplane.connect(database.name, first).close()
    change("database.reset_password", verifier=verifier(second))
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(database.name, first)
    dataplane.connect(database.name, second).close()
    change("database.restart")
    change("database.repair_ownership")
    change("database.delete", "absent")
    assert database.deleted_at is not None
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(database.name, second)


def test_steps_are_counted_before_they_happen(real: Workers, host: Host, session: Session) -> None:
    operation = create(session, host, "secret")
    wait_until(lambda: finished(session, operation))
    run = session.get_one(Run, operation.run_id)
    steps = session.scalars(select(RunStep).where(RunStep.run_id == run.id).order_by(RunStep.number)).all()
    assert run.steps_total == run.step == len(steps)
    assert steps[-1].name == "Report each database"
    assert {step.state for step in steps} <= {"ok", "changed", "skipped"}


def test_a_stale_generation_is_refused_and_recorded(real: Workers, host: Host, session: Session) -> None:
    operation = create(session, host, "secret")
    wait_until(lambda: finished(session, operation))
    late = make_operation(session, operation.database, "database.restart")
    late.generation = operation.database.generation = operation.generation - 1
    doorbell.ring(session, host.id)
    session.commit()
    wait_until(lambda: finished(session, late))
    assert (late.state, late.error_code) == ("failed", "AGENT_ERROR")
    assert "stale_generation" in (late.error_message or "")
    assert operation.database.status == "error"


@pytest.mark.parametrize("state", ["present", "stopped", "absent"])
def test_extra_vars_are_those_of_the_argument_spec(session: Session, host: Host, state: str) -> None:
    database: Database = make_database(session, host, make_user(session), desired_state=state)
    spec = yaml.safe_load((environment.ROLES / "tenant_databases" / "meta" / "argument_specs.yml").read_text())
    options = spec["argument_specs"]["main"]["options"]["tenant_databases"]["options"]
    sent = of_operation(make_operation(session, database, KINDS[state]))
    unsent = {"held_as", "verifier"} if state == "absent" else {"held_as"}  # the first only where one is put aside
    assert set(options) - set(sent) == unsent
    assert set(sent) <= set(options)
    types = {"str": str, "int": int, "bool": bool, "list": list}
    assert {name for name, value in sent.items() if type(value) is not types[options[name]["type"]]} == set()
    assert all(sent[name] in option["choices"] for name, option in options.items() if "choices" in option)
