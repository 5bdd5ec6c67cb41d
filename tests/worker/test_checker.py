"""The worker finds what somebody changed on a host by hand, by the real playbooks, and repairs what is asked for."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.dataplane import DataPlane, verifier
from tests.support.rows import make_database, make_user
from tests.worker.conftest import Workers, wait_until
from webapp.models import Database, Difference, Host, HostCheck, Operation, Run
from webapp.services import differences, drift
from webapp.services.actors import SYSTEM
from webapp.worker import environment
from webapp.worker.checker import Checker, findings
from webapp.worker.hosts import Server
from webapp.worker.report import REPORT_TASK, Item
from webapp.worker.runner import Outcome


@pytest.fixture
def made(session: Session, host: Host, dataplane: DataPlane) -> Iterator[list[Database]]:
    """Four databases that are there, on the host and in the control database."""
    owner = make_user(session)
    rows = [make_database(session, host, owner, status="active", verifier=verifier("secret")) for _ in range(4)]
    items = [{"name": row.name, "generation": row.generation, "verifier": row.verifier} for row in rows]
    assert [result["error"] for result in dataplane.converge(*items)] == [None] * 4
    session.commit()
    yield rows
    dataplane.converge(*({"name": row.name, "state": "absent"} for row in rows))


def tamper(dataplane: DataPlane, role: str, line: str, lost: str) -> None:
    """What somebody with root on the host might do on a bad day."""
    with dataplane.superuser() as connection:
        for statement in ("ALTER ROLE {} CONNECTION LIMIT 7", "ALTER ROLE {} CREATEDB"):
            connection.execute(sql.SQL(statement).format(sql.Identifier(role)))
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(lost)))
        connection.execute("CREATE ROLE odd_helper LOGIN")
        connection.execute("CREATE DATABASE odd_copy")
    hba = dataplane.config_dir / "hba.conf"
    kept = [text for text in hba.read_text().splitlines() if f'"{line}"' not in text]
    hba.write_text("\n".join([*kept, 'host "odd_copy" "odd_helper" 0.0.0.0/0 trust']) + "\n")


@pytest.fixture
def tampered(dataplane: DataPlane, made: list[Database]) -> Iterator[list[Database]]:
    role, line, lost, _ = (row.name for row in made)
    tamper(dataplane, role, line, lost)
    yield made
    with dataplane.superuser() as connection:
        connection.execute("DROP DATABASE IF EXISTS odd_copy")
        connection.execute("DROP ROLE IF EXISTS odd_helper")


def kinds(session: Session) -> dict[str, list[str]]:
    session.expire_all()
    return {row.subject: row.sentences for row in session.scalars(select(Difference))}


def checked(session: Session, host: Host) -> bool:
    session.expire_all()
    check = session.get(HostCheck, host.id)
    return check is not None and check.checked_at is not None


def test_a_drift_made_by_hand_is_found_and_repaired(
    workers: Workers, dataplane: DataPlane, host: Host, tampered: list[Database], session: Session
) -> None:
    altered, line, lost, well = tampered
    inventory = str(dataplane.inventory("local"))
    workers.start(playbook=environment.PLAYBOOK, DBHOST_CHECK_EVERY_S="3600", DBHOST_INVENTORY=inventory)
    wait_until(lambda: checked(session, host), timeout_s=120)
    assert session.get_one(HostCheck, host.id).error is None
    assert session.scalars(select(Operation)).all() == session.scalars(select(Run)).all() == []
    found = kinds(session)
    assert f'ALTER ROLE "{altered.name}" CONNECTION LIMIT 40' in found[altered.name]
    assert f'Restore the lines of "{line.name}" in hba.conf' in found[line.name]
    assert any(sentence.startswith("CREATE DATABASE") for sentence in found[lost.name])
    assert well.name not in found
    assert "Restore hba.conf" in found["PgBouncer's files"]
    assert {"databases: odd_copy", "roles: odd_helper", "hba.conf: odd_helper", "hba.conf: odd_copy"} <= set(found)
    assert "SCRAM-SHA-256$" not in str(found)

    for row in session.scalars(select(Difference).where(Difference.kind == "database")):
        differences.repair(session, SYSTEM, row.id)
    session.commit()
    wait_until(
        lambda: not {altered.name, line.name, lost.name, "PgBouncer's files"} & set(kinds(session)), timeout_s=120
    )
    assert {operation.state for operation in session.scalars(select(Operation))} == {"succeeded"}
    wait_until(lambda: not any(subject.startswith("hba.conf") for subject in kinds(session)), timeout_s=120)
    assert {"databases: odd_copy", "roles: odd_helper"} <= set(kinds(session))  # reported, never dropped
    for row in tampered:
        dataplane.connect(row.name, "secret").close()
    with dataplane.superuser() as connection:
        query = "SELECT rolconnlimit, rolcreatedb FROM pg_roles WHERE rolname = %s"
        assert connection.execute(query, [altered.name]).fetchone() == (40, False)
        assert connection.execute("SELECT count(*) FROM pg_database WHERE datname = 'odd_copy'").fetchone() == (1,)
    assert list(workers.home.rglob("extravars")) == []


@pytest.fixture
def checker(out_of_reach: Server) -> Iterator[Checker]:
    """A checker in this process."""
    running = Checker(out_of_reach)
    yield running
    running.close()


def test_a_host_out_of_reach_is_said_to_be(
    checker: Checker, session: Session, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_SSH_RETRIES", "0")
    make_database(session, host, make_user(session), status="active")
    drift.ask_for_check(session)
    session.commit()
    checker.tick()

    def failed() -> bool:
        session.expire_all()
        return session.get_one(HostCheck, host.id).error is not None

    wait_until(failed, timeout_s=120)
    check = session.get_one(HostCheck, host.id)
    assert (check.error, check.checked_at, check.leased_until) == ("The host cannot be reached.", None, None)


def item(name: str, **values: object) -> Item:
    return Item.model_validate({"name": name, "generation": 3, **values})


def test_what_could_not_be_looked_at_is_no_difference() -> None:
    away = {"code": "postgres_unavailable", "message": "PostgreSQL cannot be reached.", "retryable": True}
    foreign = {"code": "foreign_role", "message": "Somebody else's.", "retryable": False}
    results = {"away": item("away", error=away), "other": item("other", error=foreign), "well": item("well")}
    noted = item("noted", notes=["The tenant role is a member of pg_monitor."])
    said = Outcome(results={**results, "noted": noted}, reports={REPORT_TASK: {"changes": []}})
    found = findings(said, Outcome())
    assert [(one.subject, one.sentences, one.repairable) for one in found.found] == [
        ("other", ["Somebody else's."], False), ("noted", ["The tenant role is a member of pg_monitor."], False),
    ]  # fmt: skip
    assert found.generations == {"other": 3, "well": 3, "noted": 3}
    assert (found.error, found.kinds) == ("PostgreSQL cannot be reached.", {"files"})


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Outcome(unreachable=True), "The host cannot be reached."),
        (Outcome(stopped="timeout"), "The check took too long."),
        (Outcome(stopped="shutdown"), "The worker was stopped."),
        (Outcome(), "The host gave no report."),
    ],
)
def test_why_there_is_no_finding(outcome: Outcome, sentence: str) -> None:
    assert outcome.why("check") == sentence


def test_the_repaired_database_takes_its_clients(dataplane: DataPlane, made: list[Database]) -> None:
    """A check takes no lock and cuts nobody."""
    with dataplane.connect(made[0].name, "secret") as client:
        client.execute("SELECT 1")
        results = dataplane.converge({"name": made[0].name, "verifier": made[0].verifier}, check=True)
        assert results[0]["changes"] == []
        assert client.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(made[0].name, "wrong")
