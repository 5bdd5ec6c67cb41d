"""Alice owns, Bob is a stranger; every test has a control database of its own and no worker."""

import base64
import os

import pytest
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Database, Host, User
from webapp.services import databases, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import DatabaseSpec
from webapp.services.vault import vault


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and vault of this test alone."""
    monkeypatch.setenv("DBHOST_ENCRYPTION_KEYS", base64.urlsafe_b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("DBHOST_DEFAULT_PLAN", "pro")
    settings.cache_clear()
    vault.cache_clear()


@pytest.fixture
def host(session: Session) -> Host:
    host = Host(name="db1", public_host="db1.example.com", pgbouncer_port=6432)
    session.add(host)
    session.flush()
    return host


def make_actor(session: Session, email: str, **values: object) -> Actor:
    user: User = users.create_user(session, SYSTEM, email, "correct horse battery", **values)  # type: ignore[arg-type]
    return Actor("user", user, ip="192.0.2.1", request_id="r1")


@pytest.fixture
def alice(session: Session, host: Host) -> Actor:
    return make_actor(session, "alice@example.com")


@pytest.fixture
def bob(session: Session, host: Host) -> Actor:
    return make_actor(session, "bob@example.com")


@pytest.fixture
def shop(session: Session, alice: Actor) -> Database:
    """Alice's database, as it is after its creation succeeded."""
    operation = databases.create_database(session, alice, DatabaseSpec("Shop", "shop"))
    operation.state = "succeeded"
    operation.database.status = "active"
    session.commit()
    return operation.database
