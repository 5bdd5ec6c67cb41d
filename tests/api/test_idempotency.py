"""The Idempotency-Key header."""

import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from tests.api.worker import ScriptedWorker
from webapp.api import changes
from webapp.models import Database, IdempotencyKey, Operation
from webapp.services import idempotency

PATH = "/api/v1/databases"
SHOP = {"name": "shop", "displayName": "My shop"}
KEY = {"Idempotency-Key": "7c4a8d09-ca37"}


def operations(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Operation)) or 0


def test_it_works(alice: Caller, worker: ScriptedWorker, session: Session) -> None:
    first = alice.post(PATH, SHOP, headers=KEY)
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    again = alice.post(PATH, {"displayName": "My shop", "name": "shop"}, headers=KEY)
    assert (again.status_code, again.get_json()) == (201, first.get_json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content_type == "application/json"
    assert operations(session) == 1


def test_another_request_with_the_same_key(alice: Caller, worker: ScriptedWorker, shop: Database) -> None:
    assert alice.post(f"{PATH}/{shop.id}/restart", headers=KEY).status_code == 200
    problem(alice.post(PATH, {**SHOP, "name": "other"}, headers=KEY), 422, "IDEMPOTENCY_KEY_REUSED")
    problem(alice.post(f"{PATH}/{shop.id}/stop", headers=KEY), 422, "IDEMPOTENCY_KEY_REUSED")


def test_keys_are_each_callers_own(alice: Caller, bob: Caller, worker: ScriptedWorker) -> None:
    assert alice.post(PATH, SHOP, headers=KEY).status_code == 201
    problem(bob.post(PATH, SHOP, headers=KEY), 409, "NAME_TAKEN")


def test_refusals_are_not_kept(alice: Caller, bob: Caller, shop: Database, worker: ScriptedWorker) -> None:
    problem(bob.post(PATH, SHOP, headers=KEY), 409, "NAME_TAKEN")
    assert alice.delete(f"{PATH}/{shop.id}").status_code == 204
    assert bob.post(PATH, SHOP, headers=KEY).status_code == 201


def test_answers_are_kept_encrypted(alice: Caller, worker: ScriptedWorker, session: Session) -> None:
    password = alice.post(PATH, SHOP, headers=KEY).get_json()["password"]
    row = session.scalars(select(IdempotencyKey)).one()
    assert row.body_encrypted is not None
    assert password.encode() not in row.body_encrypted
    assert "password" not in str(row.headers)


def test_crash_before_the_answer(
    alice: Caller, worker: ScriptedWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process dies between its commit and its answer; the client tries again."""

    def die(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(idempotency, "remember", die)
        with pytest.raises(KeyboardInterrupt):
            alice.post(PATH, SHOP, headers=KEY)
    again = alice.post(PATH, SHOP, headers=KEY)
    assert (again.status_code, again.get_json()["name"]) == (201, "shop")
    assert operations(session) == 1


def test_accepted_first_then_the_final_answer(alice: Caller, idle_worker: ScriptedWorker, session: Session) -> None:
    asynchronous = {**KEY, "Prefer": "respond-async"}
    first = alice.post(PATH, SHOP, headers=asynchronous)
    assert first.status_code == 202
    again = alice.post(PATH, SHOP, headers=asynchronous)
    assert (again.status_code, again.get_json()) == (202, first.get_json())
    assert again.headers["Location"] == first.headers["Location"]
    idle_worker.play_once()
    final = alice.post(PATH, SHOP, headers=KEY)
    assert (final.status_code, final.get_json()["status"]) == (201, "active")
    assert operations(session) == 1


def test_side_by_side(app: Flask, alice: Caller, worker: ScriptedWorker, session: Session) -> None:
    answers: list[Any] = []

    def post() -> None:
        answers.append(Caller(app.test_client(), alice.key).post(PATH, SHOP, headers=KEY))

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.get_json()["password"] for answer in answers}) == 1
    assert operations(session) == 1


def test_kept_for_a_day(alice: Caller, worker: ScriptedWorker, session: Session, shop: Database) -> None:
    path = f"{PATH}/{shop.id}/restart"
    assert alice.post(path, headers=KEY).status_code == 200
    assert session.scalars(select(IdempotencyKey)).one().expires_at is not None
    session.execute(text("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'"))
    session.commit()
    fresh = alice.post(path, headers=KEY)
    assert fresh.status_code == 200
    assert "Idempotency-Replayed" not in fresh.headers


def test_removed_after_its_day(
    alice: Caller, worker: ScriptedWorker, session: Session, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "TIDY_EVERY_S", 0.0)
    path = f"{PATH}/{shop.id}/restart"
    assert alice.post(path, headers=KEY).status_code == 200
    session.execute(text("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'"))
    session.commit()
    assert alice.post(path, headers={"Idempotency-Key": "another"}).status_code == 200
    assert [row.key for row in session.scalars(select(IdempotencyKey))] == ["another"]


def test_refused_keys(alice: Caller) -> None:
    for key in ("x" * 256, "two words", "caf\u00e9"):
        body = problem(alice.post(PATH, SHOP, headers={"Idempotency-Key": key}), 400, "VALIDATION_ERROR")
        assert list(body["errors"]) == ["Idempotency-Key"]
