"""A member's own credentials all the way: asked for, carried out by the worker on a real host, used, ended."""

import base64
import os
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from sqlalchemy.orm import Session

from tests.support.dataplane import DataPlane, verifier
from tests.support.rows import make_database, make_user
from tests.worker.conftest import Workers, wait_until
from webapp.config import settings
from webapp.models import Database, Difference, Host, HostCheck, Member
from webapp.services import drift, member_credentials, members
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import Credentials
from webapp.services.vault import vault
from webapp.worker import environment


@pytest.fixture
def shop(session: Session, host: Host, dataplane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that is there, while the control plane of this process has an encryption key."""
    monkeypatch.setenv("DBHOST_ENCRYPTION_KEYS", base64.urlsafe_b64encode(os.urandom(32)).decode())
    settings.cache_clear()
    vault.cache_clear()
    row = make_database(session, host, make_user(session), status="active", verifier=verifier("secret"))
    [made] = dataplane.converge({"name": row.name, "generation": row.generation, "verifier": row.verifier})
    assert made["error"] is None
    session.commit()
    yield row
    dataplane.converge({"name": row.name, "state": "absent"})
    settings.cache_clear()
    vault.cache_clear()


def add(session: Session, shop: Database, level: str) -> tuple[Actor, Member]:
    user = make_user(session)
    member = members.add_member(session, SYSTEM, shop, user.email, level)
    session.commit()
    session.refresh(shop, ["members"])
    return Actor("user", user), member


def converged(session: Session, shop: Database) -> bool:
    session.expire_all()
    return shop.applied_generation == shop.generation and shop.status == "active"


def checked_at(session: Session, host: Host) -> datetime | None:
    session.expire_all()
    check = session.get(HostCheck, host.id)
    return check and check.checked_at


def get(session: Session, actor: Actor, shop: Database) -> Credentials:
    member_credentials.make(session, actor, shop)
    session.commit()
    wait_until(lambda: converged(session, shop), timeout_s=120)
    shown = member_credentials.take(session, actor, shop)
    session.commit()
    return shown


def test_credentials_of_ones_own(
    workers: Workers, dataplane: DataPlane, session: Session, host: Host, shop: Database
) -> None:
    inventory = str(dataplane.inventory("local"))
    workers.start(playbook=environment.PLAYBOOK, DBHOST_INVENTORY=inventory, DBHOST_CHECK_EVERY_S="3600")
    developer, membership = add(session, shop, "developer")
    own = get(session, developer, shop)
    with dataplane.connect(own.username, own.password, shop.name) as client:
        client.execute("CREATE TABLE goods AS SELECT 1 AS id")
    viewer, _ = add(session, shop, "viewer")
    reading = get(session, viewer, shop)
    with dataplane.connect(reading.username, reading.password, shop.name) as client:
        assert client.execute("TABLE goods").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("INSERT INTO goods VALUES (2)")

    members.remove_member(session, SYSTEM, shop, membership.id)
    session.commit()
    wait_until(lambda: converged(session, shop), timeout_s=120)
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(own.username, own.password, shop.name)
    dataplane.connect(reading.username, reading.password, shop.name).close()

    before = checked_at(session, host)
    drift.ask_for_check(session, host.id)
    session.commit()
    wait_until(lambda: checked_at(session, host) not in (None, before), timeout_s=120)
    assert [row.subject for row in session.query(Difference) if shop.name in row.subject] == []
