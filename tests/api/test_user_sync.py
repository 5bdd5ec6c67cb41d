"""The user-sync webhook: signed, each event once, in any order."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from standardwebhooks import Webhook
from werkzeug.test import TestResponse

from tests.api.conftest import Caller, Set, problem
from webapp.models import AuditEvent, AuthSession, Database, Identity, User, UserSyncEvent
from webapp.services import accounts, auth_sessions, users
from webapp.services.actors import SYSTEM

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ISSUER = "https://sso.example.com"

type Send = Callable[..., TestResponse]


@pytest.fixture
def app(make_api: Set) -> Flask:
    return make_api(user_sync_secret=f"{SECRET} {OLD_SECRET}", user_sync_issuer=ISSUER)


@pytest.fixture
def send(app: Flask) -> Send:
    """Send one event as the provider does: `send("user.created", {…}, event_id="e1")`."""

    def make(
        kind: str, data: dict[str, Any], *, event_id: str | None = None, prefix: str = "webhook", secret: str = SECRET,
        age_s: float = 0, **change: Any,
    ) -> TestResponse:  # fmt: skip
        event_id = event_id or uuid.uuid4().hex
        payload = json.dumps({"type": kind, "data": data})
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        signature = Webhook(secret).sign(event_id, at, payload)
        headers = {"id": event_id, "timestamp": str(int(at.timestamp())), "signature": signature} | change
        named = {f"{prefix}-{name}": value for name, value in headers.items()}
        return app.test_client().post("/webhooks/users", data=payload, headers=named)

    return make


def person(subject: str = "u1", email: str = "dora@example.com", at: int = 1, **more: Any) -> dict[str, Any]:
    """A user in the shape with one address; *at* orders the events."""
    return {"id": subject, "email": email, "email_verified": True, "updated_at": 1_700_000_000 + at, **more}


def listed(subject: str, email: str, status: str) -> dict[str, Any]:
    """A user in the shape with a list of addresses, of which the second is the primary one."""
    other = {"id": "a1", "email_address": "other@example.com", "verification": {"status": "verified"}}
    primary = {"id": "a2", "email_address": email, "verification": {"status": status}}
    return {
        "id": subject, "email_addresses": [other, primary], "primary_email_address_id": "a2",
        "updated_at": 1_700_000_000_123,
    }  # fmt: skip


def accounts_of(session: Session) -> dict[str, str]:
    session.expire_all()
    return {user.email: user.state for user in session.scalars(select(User))}


def identities_of(session: Session) -> dict[str, str]:
    query = select(Identity.subject, User.email).join(User, User.id == Identity.user_id)
    return {row.subject: row.email for row in session.execute(query)}


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_it_works(session: Session, send: Send, prefix: str) -> None:
    assert send("user.created", person(), prefix=prefix).status_code == 200
    assert accounts_of(session) == {"dora@example.com": "active"}
    assert send("user.updated", person(email="dora@new.example", at=2), prefix=prefix).status_code == 200
    assert accounts_of(session) == {"dora@new.example": "active"}
    assert send("user.deleted", {"id": "u1", "updated_at": 1_700_000_009, "deleted": True}).status_code == 200
    assert accounts_of(session) == {"dora@new.example": "banned"}
    assert identities_of(session) == {}
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions == ["user.create", "user.link_identity", "user.change_email", "user.sync_delete"]


def test_an_event_counts_once(session: Session, send: Send) -> None:
    for _ in range(3):
        assert send("user.created", person(), event_id="e1").status_code == 200
    assert send("user.deleted", {"id": "u1"}, event_id="e1").status_code == 200
    assert accounts_of(session) == {"dora@example.com": "active"}
    assert session.scalars(select(UserSyncEvent.id)).all() == ["e1"]


EVENTS = [
    ("user.created", person(email="a@example.com", at=1)),
    ("user.updated", person(email="b@example.com", at=2)),
    ("user.updated", person(email="c@example.com", at=3)),
]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_in_any_order_the_newest_word_counts(session: Session, send: Send, order: tuple[int, ...]) -> None:
    for index in order:
        assert send(*EVENTS[index]).status_code == 200
    assert accounts_of(session) == {"c@example.com": "active"}


def test_who_is_deleted_stays_deleted(session: Session, send: Send) -> None:
    send("user.deleted", {"id": "u1"})
    send("user.created", person())
    assert accounts_of(session) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "whsec_" + "A" * 32},
        {"signature": "v1,AAAA"},
        {"signature": "nonsense"},
        {"signature": ""},
        {"id": "another"},
        {"id": ""},
        {"age_s": 301},
        {"age_s": -310},
        {"timestamp": "soon"},
    ],
    ids=str,
)
def test_what_is_not_the_provider_s_is_refused(session: Session, send: Send, change: dict[str, Any]) -> None:
    problem(send("user.created", person(), **change), 400, "INVALID_REQUEST")
    assert accounts_of(session) == {}
    assert session.scalars(select(UserSyncEvent)).all() == []


def test_a_changed_body_is_refused(session: Session, app: Flask) -> None:
    at = datetime.now(UTC)
    signed = Webhook(SECRET).sign("e1", at, "{}")
    headers = {"svix-id": "e1", "svix-timestamp": str(int(at.timestamp())), "svix-signature": signed}
    for body in (json.dumps({"type": "user.created", "data": person()}), b"\xff", "[]"):
        assert app.test_client().post("/webhooks/users", data=body, headers=headers).status_code == 400


def test_while_a_secret_is_replaced_both_count(send: Send) -> None:
    assert send("user.created", person(), secret=OLD_SECRET).status_code == 200


@pytest.mark.parametrize("data", [{}, {"id": ""}, {"id": "x" * 300}, {"id": "u\0"}, {"id": "u1", "updated_at": "soon"}])
def test_what_cannot_be_read_is_refused(session: Session, send: Send, data: dict[str, Any]) -> None:
    assert send("user.created", data).status_code == 400
    assert session.scalars(select(UserSyncEvent)).all() == []


def test_other_events_are_taken_and_change_nothing(session: Session, send: Send) -> None:
    assert send("session.created", {"id": "s1"}).status_code == 200
    assert accounts_of(session) == {}


def test_an_address_nobody_has_proven_makes_no_account(session: Session, send: Send) -> None:
    send("user.created", listed("u1", "dora@example.com", "unverified"))
    send("user.created", person("u2", email_verified=False))
    assert accounts_of(session) == {}
    send("user.created", listed("u3", "dora@example.com", "verified"))
    assert identities_of(session) == {"u3": "dora@example.com"}


@pytest.mark.parametrize(("verified", "linked"), [(True, {"u1": "alice@example.com"}), (None, {}), (False, {})])
def test_an_account_that_is_there_is_linked_by_a_verified_address(
    session: Session, alice: Caller, send: Send, verified: bool | None, linked: dict[str, str]
) -> None:
    send("user.created", person(email="alice@example.com", email_verified=verified))
    assert identities_of(session) == linked
    assert accounts_of(session) == {"alice@example.com": "active"}


def test_the_account_follows_the_address_when_the_subject_changes(session: Session, send: Send) -> None:
    send("user.created", person("u1"))
    [before] = session.scalars(select(User.id))
    send("user.created", person("u2"))
    assert identities_of(session) == {"u2": "dora@example.com"}
    send("user.deleted", {"id": "u1"})
    assert accounts_of(session) == {"dora@example.com": "active"}
    assert session.scalars(select(User.id)).one() == before


def test_a_deleted_user_is_out_at_once_and_the_databases_stay(
    session: Session, alice: Caller, shop: Database, send: Send
) -> None:
    user = users.by_email(session, "alice@example.com")
    assert user is not None
    auth_sessions.start(session, user, ip=None, user_agent=None)
    session.commit()
    send("user.created", person(email="alice@example.com"))
    assert alice.get("/api/v1/databases").status_code == 200
    send("user.deleted", {"id": "u1"})
    assert alice.get("/api/v1/databases").status_code == 401
    session.expire_all()
    assert session.scalars(select(AuthSession)).one().revoked_at is not None
    assert (shop.desired_state, shop.deleted_at) == ("present", None)


def test_who_comes_back_at_the_provider_comes_back_here(session: Session, send: Send) -> None:
    send("user.created", person("u1"))
    send("user.deleted", {"id": "u1"})
    send("user.created", person("u2"))
    assert accounts_of(session) == {"dora@example.com": "active"}


def test_a_ban_of_this_installation_stays(session: Session, send: Send) -> None:
    send("user.created", person("u1"))
    session.execute(text("UPDATE users SET state = 'banned'"))
    session.commit()
    send("user.deleted", {"id": "u1"})
    send("user.created", person("u2"))
    assert accounts_of(session) == {"dora@example.com": "banned"}


def test_an_address_of_somebody_else_is_not_taken(session: Session, alice: Caller, send: Send) -> None:
    send("user.created", person())
    assert send("user.updated", person(email="alice@example.com", at=2)).status_code == 200
    assert sorted(accounts_of(session)) == ["alice@example.com", "dora@example.com"]
    assert "user.sync_conflict" in session.scalars(select(AuditEvent.action)).all()


def test_links_to_the_old_address_end(session: Session, app: Flask, send: Send) -> None:
    send("user.created", person())
    assert accounts.request_reset(session, SYSTEM, "dora@example.com") is not None
    session.commit()
    send("user.updated", person(email="dora@new.example", at=2))
    assert session.scalar(text("SELECT count(*) FROM one_time_tokens WHERE used_at IS NULL")) == 0


def test_without_a_secret_it_is_off(make_api: Set, send: Send) -> None:
    off = make_api(user_sync_secret="")
    assert off.test_client().post("/webhooks/users", data="{}").status_code == 404
