"""GET /operations/{id}/events."""

import json
import threading
import time
from typing import Any

import pytest
from flask import Flask

from tests.api.conftest import Caller, problem
from tests.api.worker import NO_BYTES, STEPS, ScriptedWorker
from webapp.api import events
from webapp.models import Operation


def read(stream: str) -> list[tuple[str, Any]]:
    """The events of a whole stream, by their names."""
    found = []
    for block in stream.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_it_works(alice: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    timer = threading.Timer(0.3, idle_worker.play_once)
    timer.start()
    response = alice.get(f"/api/v1/operations/{queued.id}/events", headers={"Last-Event-ID": "7"})
    assert response.status_code == 200
    assert response.content_type == "text/event-stream; charset=utf-8"
    told = read(response.get_data(as_text=True))
    timer.join()
    assert [name for name, _ in told[:-1]] == ["operation"] * (len(told) - 1)
    assert told[0][1]["state"] == "queued"
    assert (told[-1][0], told[-1][1]["state"]) == ("end", "succeeded")
    steps = [body["progress"]["step"] for _, body in told]
    assert steps == sorted(steps)
    assert told[-1][1]["progress"] == {"step": len(STEPS), "stepsTotal": len(STEPS), "stepName": STEPS[-1]} | NO_BYTES


def test_ended_already(alice: Caller, queued: Operation, idle_worker: ScriptedWorker) -> None:
    idle_worker.play_once()
    told = read(alice.get(f"/api/v1/operations/{queued.id}/events").get_data(as_text=True))
    assert [name for name, _ in told] == ["end"]


def test_heartbeat_and_no_connection_held(
    app: Flask, alice: Caller, queued: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(events, "LONGEST_S", 1.5)
    response = alice.get(f"/api/v1/operations/{queued.id}/events", buffered=False)
    chunks = response.iter_encoded()
    assert next(chunks).startswith(b"retry:")
    assert b"queued" in next(chunks)
    assert app.extensions["dbhost"].engine.pool.checkedout() == 0
    started = time.monotonic()
    assert b": still there\n\n" in list(chunks)
    assert time.monotonic() - started < 5
    response.close()


def test_too_many_streams(app: Flask, alice: Caller, queued: Operation) -> None:
    slots = app.extensions["dbhost_api_waiters"]
    taken = 0
    while slots.acquire(blocking=False):
        taken += 1
    problem(alice.get(f"/api/v1/operations/{queued.id}/events"), 503, "SERVICE_UNAVAILABLE")
    for _ in range(taken):
        slots.release()


def test_refusals(alice: Caller, bob: Caller, queued: Operation) -> None:
    problem(bob.get(f"/api/v1/operations/{queued.id}/events"), 404, "OPERATION_NOT_FOUND")
    problem(alice.get("/api/v1/operations/none/events"), 404, "OPERATION_NOT_FOUND")
