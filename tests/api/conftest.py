"""The API on a real control database. Alice owns `shop`, Bob is a stranger, Charlie is Alice's selected key."""

import base64
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from tests.api.commands import run
from tests.api.worker import ScriptedWorker
from tests.support import rows
from webapp.app import create_app
from webapp.config import settings
from webapp.models import Backup, Database, Host, Operation, User
from webapp.services import api_keys, databases, plans, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import DatabaseSpec
from webapp.services.vault import vault

type Set = Callable[..., Flask]
type Make = Callable[..., Database]


@dataclass
class Caller:
    """Somebody with a key, and the calls they make."""

    client: FlaskClient
    key: str | None = None
    user: User | None = None

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.key:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json=json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.call("DELETE", path, **options)


@pytest.fixture
def make_api(control_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Set]:
    """Build the app on this test's control database, with settings named as in `make_api(wait_timeout_s=1)`."""
    made: list[Flask] = []

    def make(**values: object) -> Flask:
        given: dict[str, object] = {
            "secret_key": "test", "testing": "true", "default_plan": "business", "wait_timeout_s": "60",
            "spool_dir": tmp_path / "spool", "database_timeout_s": "60",  # a busy machine is no outage
        } | values  # fmt: skip
        monkeypatch.setenv("DATABASE_URL", control_url)
        for name, value in given.items():
            monkeypatch.setenv(f"DBHOST_{name.upper()}", str(value))
        if not made:
            key = base64.urlsafe_b64encode(os.urandom(32)).decode()
            monkeypatch.setenv("DBHOST_ENCRYPTION_KEYS", key)
        for cached in (settings, vault, plans.all_plans):
            cached.cache_clear()
        made.append(create_app())
        return made[-1]

    yield make
    for app in made:
        app.extensions["dbhost"].notices.close()
        app.extensions["dbhost"].engine.dispose()
    for cached in (settings, vault, plans.all_plans):
        cached.cache_clear()


@pytest.fixture
def app(make_api: Set) -> Flask:
    return make_api()


@pytest.fixture
def host(session: Session) -> Host:
    """The one host of this installation."""
    row = Host(name="db1", public_host="db1.example.com", pgbouncer_port=6432)
    session.add(row)
    session.commit()
    return row


@pytest.fixture
def enrol(app: Flask, session: Session, host: Host) -> Callable[..., Caller]:
    """Make a user with a full-account key: `enrol("dora", admin=True)`."""

    def make(name: str, **values: Any) -> Caller:
        user = users.create_user(session, SYSTEM, f"{name}@example.com", **values)
        made = api_keys.create_key(session, SYSTEM, user, label=name)
        session.commit()
        return Caller(app.test_client(), made.secret, user)

    return make


@pytest.fixture
def alice(enrol: Callable[..., Caller]) -> Caller:
    return enrol("alice")


@pytest.fixture
def bob(enrol: Callable[..., Caller]) -> Caller:
    return enrol("bob")


@pytest.fixture
def admin(enrol: Callable[..., Caller]) -> Caller:
    return enrol("root", admin=True)


@pytest.fixture
def nobody(app: Flask) -> Caller:
    """Somebody without a key."""
    return Caller(app.test_client())


@pytest.fixture
def make_database(session: Session) -> Callable[..., Database]:
    """A database as it is after its creation succeeded: `make_database(alice, "shop")`."""

    def make(owner: Caller, name: str, status: str = "active") -> Database:
        actor = Actor("user", owner.user)
        operation = databases.create_database(session, actor, DatabaseSpec(name.title(), name))
        operation.state, operation.database.status = "succeeded", status
        operation.database.desired_state = "stopped" if status == "stopped" else "present"
        session.commit()
        return operation.database

    return make


@pytest.fixture
def shop(alice: Caller, make_database: Callable[..., Database]) -> Database:
    """Alice's active database."""
    return make_database(alice, "shop")


@pytest.fixture
def backup(session: Session, shop: Database) -> Backup:
    """A finished backup of Alice's database, with a copy in the spool."""
    return rows.make_backup(session, shop)


@pytest.fixture
def charlie(app: Flask, session: Session, alice: Caller, shop: Database) -> Caller:
    """A key of Alice's that is limited to `shop`."""
    assert alice.user is not None
    made = api_keys.create_key(session, SYSTEM, alice.user, label="charlie", scope="selected", databases=["shop"])
    session.commit()
    return Caller(app.test_client(), made.secret, alice.user)


@pytest.fixture
def worker(control_sessions: sessionmaker[Session], app: Flask) -> Iterator[ScriptedWorker]:
    """A worker that makes every operation succeed unless the test says otherwise."""
    with ScriptedWorker(control_sessions) as playing:
        yield playing


@pytest.fixture
def idle_worker(control_sessions: sessionmaker[Session]) -> ScriptedWorker:
    """A worker that plays only when the test tells it to."""
    return ScriptedWorker(control_sessions)


@pytest.fixture
def queued(session: Session, alice: Caller, shop: Database) -> Operation:
    """A queued stop of Alice's database that no worker has seen yet."""
    operation = databases.stop_database(session, Actor("user", alice.user), shop)
    session.commit()
    return operation


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Check the error envelope and return it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = response.get_json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"]
    return body


def missing_id() -> str:
    """An id that names nothing."""
    return str(uuid.uuid4())


@pytest.fixture
def url(app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of the app, served until the test ends; the person's configuration is in tmp_path."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for variable in ("DBHOST_API_KEY", "DBHOST_API_URL"):
        monkeypatch.delenv(variable, raising=False)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def logged_in(url: str, alice: Caller) -> str:
    result = run("auth", "login", "--api-key", alice.key or "", "--api-url", url)
    assert result.exit_code == 0, result.output
    return url
