"""Waiting for operations: preferences as they are read, and what a waiting call holds."""

import threading
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller
from tests.api.worker import ScriptedWorker
from tests.worker.conftest import wait_until
from webapp.api.preference import Preference, read_preference
from webapp.models import Database, Operation


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Preference()),
        ("respond-async", Preference(respond_async=True)),
        ("Respond-Async, wait=10", Preference(respond_async=True, wait_s=10)),
        ("wait=5, wait=9", Preference(wait_s=5)),
        ('return=minimal, respond-async; x="a, b"', Preference(respond_async=True)),
        ("wait = 3", Preference(wait_s=3)),
        ("wait=", Preference()),
        ("wait=-1", Preference()),
        ("wait=1e9", Preference()),
        ("wait=99999999999999999999", Preference()),
        ("wait=999999999", Preference(wait_s=3600)),
        ('respond-async="', Preference()),
        (",,;=,", Preference()),
    ],
)
def test_read_preference(header: str, expected: Preference) -> None:
    assert read_preference(header) == expected


def test_patience() -> None:
    assert Preference().patience_s(30) == 30
    assert Preference(wait_s=5).patience_s(30) == 5
    assert Preference(wait_s=90).patience_s(30) == 30
    assert Preference(respond_async=True).patience_s(30) == 0
    assert Preference(respond_async=True, wait_s=5).patience_s(30) == 5


def test_no_connection_is_held_while_waiting(
    app: Flask, alice: Caller, shop: Database, idle_worker: ScriptedWorker, session: Session
) -> None:
    answers: list[Any] = []
    pool, queued = app.extensions["dbhost"].engine.pool, select(exists().where(Operation.state == "queued"))

    def looks() -> list[int]:
        return [pool.checkedout() for _ in range(20) if time.sleep(0.01) is None]

    waiting = threading.Thread(target=lambda: answers.append(alice.post(f"/api/v1/databases/{shop.id}/restart")))
    waiting.start()
    wait_until(lambda: session.scalar(queued))
    wait_until(lambda: looks().count(0) >= 18)
    idle_worker.play_once()
    waiting.join()
    assert answers[0].status_code == 200


def test_too_many_waiting_calls_answer_at_once(app: Flask, alice: Caller, shop: Database) -> None:
    slots = app.extensions["dbhost_api_waiters"]
    taken = 0
    while slots.acquire(blocking=False):
        taken += 1
    started = time.monotonic()
    response = alice.post(f"/api/v1/databases/{shop.id}/restart")
    assert response.status_code == 202
    assert time.monotonic() - started < 30  # half of what it may wait
    for _ in range(taken):
        slots.release()
