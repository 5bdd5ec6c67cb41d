"""The dashboard on a real control database. Alice owns `shop`, Bob is a stranger, Root is a platform admin."""

import base64
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from tests.browser.scripted_worker import ScriptedWorker
from webapp import courier
from webapp.app import create_app
from webapp.config import settings
from webapp.models import Database, User
from webapp.services import billing, databases, hosts, plans, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import DatabaseSpec
from webapp.services.passwords import hash_password
from webapp.services.vault import vault

PASSWORD = "correct horse battery"
TOKEN = re.compile(r'name="csrf-token" content="([^"]+)"')
CACHED = (settings, vault, plans.all_plans, billing.gateway)


@lru_cache(maxsize=1)
def hashed_password() -> str:
    """Everybody's password, hashed once: argon2 takes its time on purpose."""
    return hash_password(PASSWORD)


@dataclass
class Browser:
    """Somebody's browser: it keeps cookies and sends the CSRF token of the sign-in page or of its own pages."""

    client: FlaskClient
    user: User | None = None

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def post(self, path: str, *, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token(), **form}, headers=headers)

    def page(self, path: str) -> str:
        response = self.get(path)
        assert response.status_code == 200, (path, response.status_code)
        return response.get_data(as_text=True)

    def token(self) -> str:
        found = TOKEN.search(self.client.get("/sign-in", follow_redirects=True).get_data(as_text=True))
        assert found is not None
        return found[1]

    def sign_in(self, email: str, password: str = PASSWORD) -> TestResponse:
        return self.post("/sign-in", email=email, password=password)


@pytest.fixture
def app(control_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Flask]:
    """The app with the route guards on."""
    monkeypatch.setenv("DBHOST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", control_url)
    monkeypatch.setenv("DBHOST_SECRET_KEY", "test")
    monkeypatch.setenv("DBHOST_TESTING", "true")
    monkeypatch.setenv("DBHOST_DATABASE_TIMEOUT_S", "60")  # a busy machine is no outage
    monkeypatch.setenv("DBHOST_DEFAULT_PLAN", os.environ.get("DBHOST_DEFAULT_PLAN", "business"))
    monkeypatch.setenv("DBHOST_ENCRYPTION_KEYS", base64.urlsafe_b64encode(os.urandom(32)).decode())
    for cached in CACHED:
        cached.cache_clear()
    made = create_app()
    yield made
    made.extensions["dbhost"].notices.close()
    made.extensions["dbhost"].engine.dispose()
    for cached in CACHED:
        cached.cache_clear()


@dataclass
class Outbox:
    """The mails of an app without a mail server, as files below its home."""

    app: Flask
    folder: Path

    def messages(self) -> list[EmailMessage]:
        """What was sent so far, the oldest first."""
        courier.of(self.app.extensions["dbhost"]).send_mails()
        files = sorted(self.folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files]  # type: ignore[misc]

    def link(self) -> str:
        """The path in the newest mail's first link."""
        text = self.messages()[-1].get_content()
        found = re.search(r"https?://[^/\s]+(/\S+)", text)
        assert found is not None, text
        return found[1]


@pytest.fixture
def outbox(app: Flask, tmp_path: Path) -> Outbox:
    return Outbox(app, tmp_path / "outbox")


@pytest.fixture
def anonymous(app: Flask) -> Browser:
    return Browser(app.test_client())


@pytest.fixture
def signed_in(app: Flask, session: Session) -> Callable[..., Browser]:
    """Make a user and sign them in: `signed_in("alice", admin=True)`."""
    hosts.ensure_host(session, SYSTEM, "local", "127.0.0.1", 6432)

    def make(name: str, **values: Any) -> Browser:
        user = users.create_user(session, SYSTEM, f"{name}@example.com", **values)
        user.password_hash = hashed_password()
        session.commit()
        browser = Browser(app.test_client(), user)
        assert browser.sign_in(user.email).status_code == 303
        return browser

    return make


@pytest.fixture
def alice(signed_in: Callable[..., Browser]) -> Browser:
    return signed_in("alice")


@pytest.fixture
def bob(signed_in: Callable[..., Browser]) -> Browser:
    return signed_in("bob")


@pytest.fixture
def root(signed_in: Callable[..., Browser]) -> Browser:
    return signed_in("root", admin=True)


@pytest.fixture
def worker(control_sessions: sessionmaker[Session]) -> ScriptedWorker:
    """Plays what is queued when a test says so."""
    return ScriptedWorker(control_sessions, step_s=0)


@pytest.fixture
def shop(session: Session, alice: Browser, worker: ScriptedWorker) -> Database:
    """Alice's active database."""
    operation = databases.create_database(session, Actor("user", alice.user), DatabaseSpec("Shop", "shop"))
    session.commit()
    worker.play_all()
    session.refresh(operation.database)
    return operation.database


def password_of(database: Database) -> str:
    """The password that no page may show unasked."""
    return databases.credentials(database).password
