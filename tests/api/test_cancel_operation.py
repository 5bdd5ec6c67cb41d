"""POST /operations/{id}/cancel."""

from tests.api.conftest import Caller, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database, Operation


def test_it_works(alice: Caller, shop: Database, queued: Operation) -> None:
    response = alice.post(f"/api/v1/operations/{queued.id}/cancel", headers={"Idempotency-Key": "c1"})
    assert response.status_code == 200
    assert response.get_json()["state"] == "cancelled"
    assert alice.get(f"/api/v1/databases/{shop.id}").get_json()["status"] == "active"
    again = alice.post(f"/api/v1/operations/{queued.id}/cancel", headers={"Idempotency-Key": "c1"})
    assert (again.get_json(), again.headers["Idempotency-Replayed"]) == (response.get_json(), "true")


def test_refusals(alice: Caller, bob: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    path = f"/api/v1/operations/{queued.id}/cancel"
    problem(bob.post(path), 404, "OPERATION_NOT_FOUND")
    problem(alice.post(path, {"why": "?"}), 400, "VALIDATION_ERROR")
    idle_worker.play_once()
    problem(alice.post(path), 409, "CONFLICT")
