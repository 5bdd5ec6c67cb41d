"""Rate limits: per key, apart for reads and changes; per address for keys that are not known."""

import threading

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set, problem
from webapp.limits import ControlStorage, storage
from webapp.models import Database

PATH = "/api/v1/databases"
WRONG = "dbh_" + "x" * 43


@pytest.fixture
def app(make_api: Set) -> Flask:
    return make_api(read_rate="5 per minute", change_rate="2 per minute", sign_in_rate="3 per minute")


def test_it_works(alice: Caller, bob: Caller) -> None:
    left = [alice.get(PATH).headers["RateLimit-Remaining"] for _ in range(5)]
    assert left == ["4", "3", "2", "1", "0"]
    response = alice.get(PATH)
    problem(response, 429, "RATE_LIMITED")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert response.headers["RateLimit-Limit"] == "5"
    assert bob.get(PATH).status_code == 200


def test_changes_count_apart(alice: Caller, shop: Database) -> None:
    for _ in range(2):
        assert alice.patch(f"{PATH}/{shop.id}", {}).status_code == 200
    problem(alice.patch(f"{PATH}/{shop.id}", {}), 429, "RATE_LIMITED")
    assert alice.get(PATH).status_code == 200


def test_unknown_keys_per_address(app: Flask, alice: Caller) -> None:
    guesser = Caller(app.test_client(), WRONG)
    for _ in range(3):
        problem(guesser.get(PATH), 401, "UNAUTHORIZED")
    response = guesser.get(PATH)
    problem(response, 429, "RATE_LIMITED")
    assert int(response.headers["Retry-After"]) >= 1
    assert alice.get(PATH).status_code == 200
    elsewhere = {"environ_base": {"REMOTE_ADDR": "198.51.100.9"}}
    problem(guesser.get(PATH, **elsewhere), 401, "UNAUTHORIZED")


def test_forwarded_addresses_are_not_believed(app: Flask) -> None:
    guesser = Caller(app.test_client(), WRONG)
    statuses = [
        guesser.get(PATH, headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code for number in range(4)
    ]
    assert statuses == [401, 401, 401, 429]


def test_forwarded_addresses_behind_a_trusted_proxy(make_api: Set) -> None:
    guesser = Caller(make_api(sign_in_rate="1 per minute", trusted_proxies=1).test_client(), WRONG)
    for address in ("203.0.113.1", "203.0.113.2"):
        assert guesser.get(PATH, headers={"X-Forwarded-For": address}).status_code == 401
    assert guesser.get(PATH, headers={"X-Forwarded-For": "9.9.9.9, 203.0.113.2"}).status_code == 429


def test_probes_are_exempt(nobody: Caller) -> None:
    assert [nobody.get("/healthz").status_code for _ in range(10)] == [200] * 10


def test_windows_end_and_are_removed(alice: Caller, session: Session, app: Flask) -> None:
    while alice.get(PATH).status_code != 429:
        pass
    session.execute(text("UPDATE rate_counters SET expires_at = now() - interval '1 second'"))
    session.commit()
    assert alice.get(PATH).status_code == 200
    session.execute(text("UPDATE rate_counters SET expires_at = now() - interval '1 second'"))
    session.commit()
    with app.app_context():
        storage().purge()
    assert session.execute(text("SELECT count(*) FROM rate_counters")).scalar() == 0


def test_nobody_is_refused_without_the_counters(alice: Caller, session: Session) -> None:
    session.execute(text("ALTER TABLE rate_counters RENAME TO away"))
    session.commit()
    assert [alice.get(PATH).status_code for _ in range(7)] == [200] * 7


def test_hits_side_by_side_are_all_counted(app: Flask) -> None:
    def hit() -> None:
        with app.app_context():
            for _ in range(20):
                storage().hit("race", 60)

    threads = [threading.Thread(target=hit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context():
        counted: ControlStorage = storage()
        assert counted.get("race") == 100
        counted.clear("race")
        assert counted.get("race") == 0
        assert counted.check() is True
        counted.hit("race", 60)
        assert counted.reset() == 1
