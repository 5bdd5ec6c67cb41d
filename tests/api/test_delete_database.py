"""DELETE /databases/{id}."""

from tests.api.conftest import Caller, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database, Operation


def test_it_works(alice: Caller, shop: Database, worker: ScriptedWorker) -> None:
    response = alice.delete(f"/api/v1/databases/{shop.id}")
    assert (response.status_code, response.data) == (204, b"")
    problem(alice.get(f"/api/v1/databases/{shop.id}"), 404, "DATABASE_NOT_FOUND")
    assert alice.get("/api/v1/databases").get_json()["data"] == []
    again = alice.post("/api/v1/databases", {"name": "shop", "displayName": "Again"})
    assert again.status_code == 201


def test_respond_async(alice: Caller, shop: Database) -> None:
    response = alice.delete(f"/api/v1/databases/{shop.id}", headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    assert response.get_json()["kind"] == "database.delete"
    assert alice.get(f"/api/v1/databases/{shop.id}").get_json()["status"] == "deleting"


def test_failure_on_the_host(alice: Caller, shop: Database, worker: ScriptedWorker) -> None:
    worker.outcome = lambda _operation: "failed"
    problem(alice.delete(f"/api/v1/databases/{shop.id}"), 500, "AGENT_ERROR")
    assert alice.get(f"/api/v1/databases/{shop.id}").get_json()["status"] == "error"


def test_refusals(alice: Caller, bob: Caller, admin: Caller, shop: Database, queued: Operation) -> None:
    path = f"/api/v1/databases/{shop.id}"
    problem(bob.delete(path), 404, "DATABASE_NOT_FOUND")
    problem(admin.delete(path), 404, "DATABASE_NOT_FOUND")
    problem(alice.delete(path), 409, "OPERATION_IN_PROGRESS")
    problem(alice.delete(path, json={"force": True}), 400, "VALIDATION_ERROR")
