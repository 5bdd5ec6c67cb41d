"""One user's requests that wait for each other leave everybody else their connections."""

import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from tests.api.conftest import Caller
from webapp import http
from webapp.models import Database, Host
from webapp.services import users

PATH = "/api/v1/databases"
AT_ONCE = 40  # more than a process has connections


def test_a_users_crowd_keeps_nobody_else_out(
    app: Flask,
    alice: Caller,
    bob: Caller,
    host: Host,
    control_sessions: sessionmaker[Session],
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "SHARE_PATIENCE_S", 3.0)
    app.extensions["dbhost"].settings.change_rate = "1000000 per minute"
    answers: list[Any] = []

    def create(number: int) -> None:
        body = {"name": f"shop{number}", "displayName": "Shop"}
        client = Caller(app.test_client(), alice.key)
        answers.append(client.post(PATH, body, headers={"Prefer": "respond-async"}))

    assert alice.user is not None
    with control_sessions() as holding:
        users.lock(holding, alice.user.id)
        crowd = [threading.Thread(target=create, args=(number,)) for number in range(AT_ONCE)]
        for thread in crowd:
            thread.start()
        statuses = [bob.get(PATH).status_code for _ in range(10)]
        for thread in crowd:
            thread.join()
        holding.rollback()
    assert statuses == [200] * 10
    assert {answer.status_code for answer in answers} <= {429, 503}
    assert all("Nothing was changed" in answer.get_json()["detail"] for answer in answers if answer.status_code == 503)
    assert session.scalar(select(func.count()).select_from(Database)) == 0
    assert (
        alice.post(PATH, {"name": "shop", "displayName": "Shop"}, headers={"Prefer": "respond-async"}).status_code
        == 202
    )


def test_the_shares_come_back(app: Flask, alice: Caller) -> None:
    for _ in range(20):
        assert alice.get(PATH).status_code == 200
        assert alice.post(PATH, {"name": "no such host", "displayName": ""}).status_code >= 400
