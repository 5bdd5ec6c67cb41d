"""The worker reports on its hosts by the real playbook, beside the operations and without being one."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tests.support.dataplane import DataPlane, verifier
from tests.support.reports import keep, make_report
from tests.support.rows import create_many, make_database, make_user
from tests.worker.conftest import Workers, wait_until
from webapp.models import Database, DatabaseFigures, Host, HostReport, Operation, Run
from webapp.worker.hosts import Server
from webapp.worker.runner import Outcome
from webapp.worker.sampler import Sampler


@pytest.fixture
def shop(session: Session, host: Host, dataplane: DataPlane) -> Iterator[Database]:
    """A database that is there, on the host and in the control database."""
    row = make_database(session, host, make_user(session), status="active", verifier=verifier("secret"))
    [made] = dataplane.converge({"name": row.name, "generation": 1, "verifier": row.verifier})
    assert made["error"] is None
    session.commit()
    yield row
    dataplane.converge({"name": row.name, "state": "absent"})


def reported(session: Session, host: Host) -> bool:
    session.expire_all()
    found = session.get(HostReport, host.id)
    return found is not None and found.sampled_at is not None


def test_a_running_worker_fills_what_people_see(
    workers: Workers, dataplane: DataPlane, host: Host, shop: Database, session: Session
) -> None:
    inventory = str(dataplane.inventory("local"))
    with dataplane.connect(shop.name, "secret") as client:
        client.execute("SELECT 1")
        workers.start(DBHOST_SAMPLE_EVERY_S="1", DBHOST_INVENTORY=inventory)
        wait_until(lambda: reported(session, host), timeout_s=120)
    assert shop.size_bytes > 1_000_000
    assert session.get_one(DatabaseFigures, shop.id).clients_active == 1
    first = session.get_one(HostReport, host.id).sampled_at
    wait_until(lambda: session.get_one(HostReport, host.id, populate_existing=True).sampled_at != first, timeout_s=120)
    assert session.scalar(select(func.count()).select_from(Operation)) == 0
    assert session.scalar(select(func.count()).select_from(Run)) == 0
    assert list(workers.home.rglob("extravars")) == []


def test_work_goes_on_while_hosts_are_reported_on(workers: Workers, host: Host, session: Session, states) -> None:  # type: ignore[no-untyped-def]
    """The pretended host has no PostgreSQL: the report says so, and operations end as ever."""
    create_many(session, host, 3)
    workers.start(DBHOST_SAMPLE_EVERY_S="1")
    wait_until(lambda: states() == {"succeeded": 3})
    wait_until(lambda: reported(session, host), timeout_s=120)
    kept = session.get_one(HostReport, host.id).report
    assert kept is not None
    assert kept["postgres"] is None
    assert {"postgres", "pgbouncer"} <= {problem["part"] for problem in kept["problems"]}


@pytest.fixture
def sampler(out_of_reach: Server) -> Iterator[Sampler]:
    """A sampler in this process."""
    made = Sampler(out_of_reach)
    yield made
    made.close()


def test_a_host_out_of_reach_keeps_its_last_report(
    sampler: Sampler, session: Session, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_SSH_RETRIES", "0")
    keep(session, host, make_report())
    session.execute(text("UPDATE host_reports SET next_run_at = now() - interval '1 s'"))
    session.commit()
    sampler.tick()

    def failed() -> bool:
        session.expire_all()
        return session.get_one(HostReport, host.id).error is not None

    wait_until(failed)
    found = session.get_one(HostReport, host.id)
    assert (found.error, found.leased_until) == ("The host cannot be reached.", None)
    assert found.report is not None


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Outcome(unreachable=True), "The host cannot be reached."),
        (Outcome(stopped="timeout"), "The report took too long."),
        (Outcome(stopped="shutdown"), "The worker was stopped."),
        (Outcome(), "The host gave no report."),
    ],
)
def test_why_there_is_no_report(outcome: Outcome, sentence: str) -> None:
    assert outcome.why("report") == sentence
