"""GET /api/v1/databases/{id}/metrics."""

from datetime import datetime

from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from tests.support.reports import database_report, keep, make_report
from webapp.models import Database


def test_it_works(alice: Caller, charlie: Caller, shop: Database, session: Session) -> None:
    keep(session, shop.host, make_report(database_report("shop", transactions=1)))
    keep(session, shop.host, make_report(database_report("shop", transactions=5, size_bytes=2_000_000)))
    body = alice.get(f"/api/v1/databases/{shop.id}/metrics?range=year").get_json()
    assert (body["sizeBytes"], body["clientsActive"], body["clientsWaiting"]) == (2_000_000, 1, 0)
    assert datetime.fromisoformat(body["lastConnectionAt"]) == datetime.fromisoformat(body["sampledAt"])
    assert body["stepS"] == 172800
    [point] = body["series"]
    assert point["sizeBytes"] == 2_000_000
    assert point["transactionsPerS"] > 0
    assert set(point) == {"at", "sizeBytes", "clientsActive", "clientsWaiting", "transactionsPerS", "cacheHitRatio"}
    assert charlie.get(f"/api/v1/databases/{shop.id}/metrics").status_code == 200
    assert alice.get(f"/api/v1/databases/{shop.id}").get_json()["sizeBytes"] == 2_000_000
    assert alice.get("/api/v1/databases").get_json()["data"][0]["sizeBytes"] == 2_000_000


def test_before_the_first_report(alice: Caller, shop: Database) -> None:
    body = alice.get(f"/api/v1/databases/{shop.id}/metrics").get_json()
    assert body == {
        "sizeBytes": 0, "clientsActive": 0, "clientsWaiting": 0, "lastConnectionAt": None, "sampledAt": None,
        "stepS": 600, "series": [],
    }  # fmt: skip


def test_strangers_and_wrong_ranges(alice: Caller, bob: Caller, shop: Database) -> None:
    problem(bob.get(f"/api/v1/databases/{shop.id}/metrics"), 404, "DATABASE_NOT_FOUND")
    body = problem(alice.get(f"/api/v1/databases/{shop.id}/metrics?range=century"), 400, "VALIDATION_ERROR")
    assert set(body["errors"]) == {"range"}
