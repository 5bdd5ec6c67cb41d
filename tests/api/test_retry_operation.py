"""POST /operations/{id}/retry."""

from tests.api.conftest import Caller, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Operation


def test_it_works(alice: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    idle_worker.outcome = lambda _operation: "failed"
    idle_worker.play_once()
    idle_worker.outcome = lambda _operation: "succeeded"
    with idle_worker:
        response = alice.post(f"/api/v1/operations/{queued.id}/retry")
    assert response.status_code == 200
    assert (response.get_json()["state"], response.get_json()["error"]) == ("succeeded", None)


def test_respond_async(alice: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    idle_worker.outcome = lambda _operation: "failed"
    idle_worker.play_once()
    response = alice.post(f"/api/v1/operations/{queued.id}/retry", headers={"Prefer": "respond-async"})
    assert (response.status_code, response.get_json()["state"]) == (202, "queued")


def test_refusals(alice: Caller, bob: Caller, queued: Operation) -> None:
    path = f"/api/v1/operations/{queued.id}/retry"
    problem(bob.post(path), 404, "OPERATION_NOT_FOUND")
    problem(alice.post(path), 409, "CONFLICT")
