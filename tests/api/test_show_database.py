"""GET /databases/{id}."""

from tests.api.conftest import Caller, Make, missing_id, problem
from webapp.models import Database


def test_it_works(alice: Caller, shop: Database) -> None:
    response = alice.get(f"/api/v1/databases/{shop.id}")
    assert response.status_code == 200
    body = response.get_json()
    assert set(body) == {
        "id", "name", "displayName", "host", "port", "database", "username", "status", "sizeBytes", "createdAt",
        "storageState", "storageLimitBytes", "directPort", "connectionLimits",
    }  # fmt: skip
    assert (body["id"], body["name"], body["status"]) == (str(shop.id), "shop", "active")
    assert (body["port"], body["directPort"]) == (6432, 6433)
    limits = body["connectionLimits"]
    assert limits == {"total": 40, "pooled": 25, "direct": 10}
    assert "password" not in response.get_data(as_text=True).lower()
    again = alice.get(f"/api/v1/databases/{shop.id}", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


def test_not_to_be_told_apart(alice: Caller, bob: Caller, charlie: Caller, shop: Database, make_database: Make) -> None:
    blog = make_database(alice, "blog")
    missing = problem(alice.get(f"/api/v1/databases/{missing_id()}"), 404, "DATABASE_NOT_FOUND")
    assert problem(bob.get(f"/api/v1/databases/{shop.id}"), 404, "DATABASE_NOT_FOUND") == missing
    assert problem(charlie.get(f"/api/v1/databases/{blog.id}"), 404, "DATABASE_NOT_FOUND") == missing
    for wrong in ("shop", "1", "%00", "'", "..", "a" * 2000):
        assert problem(alice.get(f"/api/v1/databases/{wrong}"), 404, "DATABASE_NOT_FOUND") == missing
    assert charlie.get(f"/api/v1/databases/{shop.id}").status_code == 200
