"""GET /operations/{id}."""

from tests.api.conftest import Caller, missing_id, problem
from tests.api.worker import NO_BYTES, STEPS, ScriptedWorker
from webapp.models import Operation


def test_it_works(alice: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    waiting = alice.get(f"/api/v1/operations/{queued.id}")
    assert waiting.status_code == 200
    assert waiting.get_json()["progress"] == {"step": 0, "stepsTotal": 0, "stepName": None} | NO_BYTES
    assert idle_worker.play_once() == 1
    body = alice.get(f"/api/v1/operations/{queued.id}").get_json()
    assert (body["kind"], body["state"], body["database"]) == ("database.stop", "succeeded", "shop")
    assert body["progress"] == {"step": 3, "stepsTotal": 3, "stepName": STEPS[-1]} | NO_BYTES
    assert [(step["number"], step["name"], step["state"]) for step in body["steps"]] == [
        (number, name, "ok") for number, name in enumerate(STEPS, start=1)
    ]
    assert body["error"] is None
    assert body["requestedBy"] == "user"


def test_failed(alice: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    idle_worker.outcome = lambda _operation: "failed"
    idle_worker.play_once()
    body = alice.get(f"/api/v1/operations/{queued.id}").get_json()
    assert body["error"] == {"code": "AGENT_ERROR", "message": "The disk is full.", "step": STEPS[0]}


def test_not_to_be_told_apart(alice: Caller, bob: Caller, queued: Operation) -> None:
    missing = problem(alice.get(f"/api/v1/operations/{missing_id()}"), 404, "OPERATION_NOT_FOUND")
    assert problem(bob.get(f"/api/v1/operations/{queued.id}"), 404, "OPERATION_NOT_FOUND") == missing
    assert problem(alice.get("/api/v1/operations/7"), 404, "OPERATION_NOT_FOUND") == missing
