"""POST /databases/{id}/repair-ownership."""

from tests.api.conftest import Caller, Make, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database


def test_it_works(alice: Caller, shop: Database, worker: ScriptedWorker) -> None:
    for _ in range(2):
        response = alice.post(f"/api/v1/databases/{shop.id}/repair-ownership")
        assert response.status_code == 200
        body = response.get_json()
        assert list(body) == ["name", "status", "message"]
        assert (body["name"], body["status"]) == ("shop", "repaired")
        assert body["message"]


def test_refusals(alice: Caller, bob: Caller, shop: Database, make_database: Make) -> None:
    problem(bob.post(f"/api/v1/databases/{shop.id}/repair-ownership"), 404, "DATABASE_NOT_FOUND")
    idle = make_database(alice, "idle", status="stopped")
    problem(alice.post(f"/api/v1/databases/{idle.id}/repair-ownership"), 409, "DATABASE_NOT_ACTIVE")
