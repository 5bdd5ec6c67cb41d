"""A call during which the control database dies denies nothing that was saved and promises nothing that was lost."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, has_request_context
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set, problem
from tests.api.worker import ScriptedWorker
from tests.support.cluster import Cluster
from tests.support.relay import Relay
from tests.worker.conftest import wait_until
from webapp.db import ControlSession
from webapp.models import Database, Operation

PATH = "/api/v1/databases"
DENIAL = "Nothing was changed"
PERHAPS = "may have been carried out"
SHOP = {"name": "shop", "displayName": "Shop"}


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    with Relay(cluster.folder) as running:
        yield running


@pytest.fixture
def app(make_api: Set, relay: Relay, control_url: str) -> Flask:
    """The app, whose way to the control database leads over the relay."""
    return make_api(database_url=relay.url(control_url), wait_timeout_s="20", database_timeout_s="4")


@pytest.fixture
def make_api(make_api: Set, monkeypatch: pytest.MonkeyPatch) -> Set:
    def make(database_url: str, **values: object) -> Flask:
        original = monkeypatch.setenv

        def setenv(name: str, value: str) -> None:
            original(name, database_url if name == "DATABASE_URL" else value)

        monkeypatch.setattr(monkeypatch, "setenv", setenv)
        return make_api(**values)

    return make


def ask(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread, answers


def count(session: Session, what: Any) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(what)) or 0


def test_an_outage_while_a_call_waits_is_waited_through(
    alice: Caller, relay: Relay, shop: Database, idle_worker: ScriptedWorker, session: Session
) -> None:
    asking, answers = ask(lambda: alice.post(f"{PATH}/{shop.id}/reset-password"))
    wait_until(lambda: count(session, select(Operation).where(Operation.state == "queued").subquery()) == 1)
    relay.cut()
    idle_worker.play_once()
    time.sleep(1)
    relay.open()
    asking.join()
    assert answers[0].status_code == 200
    assert answers[0].get_json()["password"]


@pytest.mark.parametrize("headers", [{"Prefer": "wait=2"}, {"Prefer": "wait=2", "Idempotency-Key": "k"}])
def test_an_outage_that_lasts_is_answered_by_the_operation(
    alice: Caller, relay: Relay, shop: Database, session: Session, headers: dict[str, str]
) -> None:
    asking, answers = ask(lambda: alice.post(f"{PATH}/{shop.id}/restart", headers=headers))
    wait_until(lambda: count(session, select(Operation).where(Operation.state == "queued").subquery()) == 1)
    relay.cut()
    asking.join()
    queued = session.scalars(select(Operation).where(Operation.state == "queued")).one()
    assert answers[0].status_code == 202
    assert answers[0].headers["Location"].endswith(str(queued.id))
    assert answers[0].get_json()["state"] == "queued"


def test_lost_in_a_commit_that_arrived(alice: Caller, relay: Relay, worker: ScriptedWorker, session: Session) -> None:
    assert alice.get(PATH).status_code == 200
    lose_at_commit_of_change(relay, arrives=True)
    asking, answers = ask(lambda: alice.post(PATH, SHOP))
    asking.join()
    assert answers[0].status_code == 201, answers[0].get_data(as_text=True)
    assert count(session, Database) == 1


def test_lost_in_a_commit_that_never_arrived(alice: Caller, relay: Relay, session: Session) -> None:
    assert alice.get(PATH).status_code == 200
    lose_at_commit_of_change(relay, arrives=False)
    response = alice.post(PATH, SHOP)
    assert DENIAL in problem(response, 503, "SERVICE_UNAVAILABLE")["detail"]
    assert count(session, Database) == 0


@pytest.mark.parametrize("arrives", [True, False])
def test_lost_in_a_commit_and_gone_for_good(alice: Caller, relay: Relay, session: Session, arrives: bool) -> None:
    assert alice.get(PATH).status_code == 200
    lose_at_commit_of_change(relay, arrives=arrives, back=False)
    response = alice.post(PATH, SHOP, headers={"Prefer": "wait=1"})
    detail = problem(response, 503, "SERVICE_UNAVAILABLE")["detail"]
    assert PERHAPS in detail
    assert DENIAL not in detail


def test_a_session_that_cannot_be_closed_spoils_no_answer(alice: Caller, monkeypatch: Any) -> None:
    def close(session: ControlSession) -> None:
        original(session)
        if has_request_context():
            raise OperationalError("ROLLBACK", {}, Exception("server closed the connection unexpectedly"))

    original = ControlSession.close
    monkeypatch.setattr(ControlSession, "close", close)
    assert alice.get(PATH).status_code == 200


def lose_at_commit_of_change(relay: Relay, *, arrives: bool, back: bool = True) -> None:
    """Cut the relay at the COMMIT of the call's own change."""

    def act() -> bool:
        if back:
            threading.Timer(0.5, relay.open).start()
        return arrives

    relay.at_commit = act


def test_a_stopped_pooler_is_told_by_a_page(alice: Caller, nobody: Caller, relay: Relay) -> None:
    assert alice.get(PATH).status_code == 200
    relay.stop()
    started = time.monotonic()
    problem(alice.get(PATH), 503, "SERVICE_UNAVAILABLE")
    page = nobody.get("/sign-in", headers={"Cookie": "dbhost_session_8000=0123456789"})
    ready = nobody.get("/readyz")
    assert time.monotonic() - started < 40  # it was for ever
    relay.resume()
    assert ready.status_code == 503
    assert page.status_code in (200, 503)
    wait_until(lambda: nobody.get("/readyz").status_code == 200)
    assert alice.get(PATH).status_code == 200
