"""POST /databases/{id}/stop."""

from tests.api.conftest import Caller, Make, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database, Operation


def test_it_works(alice: Caller, make_database: Make, worker: ScriptedWorker) -> None:
    blog = make_database(alice, "blog", status="active")
    response = alice.post(f"/api/v1/databases/{blog.id}/stop")
    assert response.status_code == 200
    assert response.get_json()["status"] == "stopped"
    assert response.get_json() == alice.get(f"/api/v1/databases/{blog.id}").get_json()


def test_refusals(alice: Caller, bob: Caller, shop: Database, queued: Operation) -> None:
    path = f"/api/v1/databases/{shop.id}/stop"
    problem(bob.post(path), 404, "DATABASE_NOT_FOUND")
    problem(alice.post(path, {"now": True}), 400, "VALIDATION_ERROR")
    problem(alice.post(path), 409, "OPERATION_IN_PROGRESS")
