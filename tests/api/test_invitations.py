"""Invitations and transfers by the API and the command line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.api.commands import run
from tests.api.conftest import Caller, missing_id, problem
from webapp.models import Database, Invitation, Member, User


def invite(alice: Caller, shop: Database, email: str = "bob@example.com", role: str = "viewer") -> dict[str, Any]:
    answer = alice.post(f"/api/v1/databases/{shop.id}/invitations", {"email": email, "role": role})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    made: dict[str, Any] = answer.get_json()
    return made


def test_it_works(alice: Caller, bob: Caller, shop: Database) -> None:
    path = f"/api/v1/databases/{shop.id}/invitations"
    made = invite(alice, shop)
    assert set(made) == {"id", "email", "role", "invitedBy", "sentAt", "expiresAt"}
    assert (made["email"], made["role"], made["invitedBy"]) == ("bob@example.com", "viewer", "alice@example.com")
    assert alice.get(path).get_json() == {"data": [made]}
    assert bob.get("/api/v1/invitations").get_json()["data"] == [
        {
            "id": made["id"], "database": "shop", "displayName": "Shop", "role": "viewer",
            "invitedBy": "alice@example.com", "expiresAt": made["expiresAt"],
        }
    ]  # fmt: skip
    again = alice.post(f"{path}/{made['id']}/resend").get_json()
    assert again["expiresAt"] > made["expiresAt"]
    accepted = bob.post(f"/api/v1/invitations/{made['id']}/accept")
    assert (accepted.status_code, accepted.get_json()["name"]) == (200, "shop")
    assert alice.get(path).get_json() == {"data": []}
    problem(bob.post(f"/api/v1/invitations/{made['id']}/accept"), 404, "NOT_FOUND")
    assert bob.delete(f"/api/v1/databases/{shop.id}/members/me").status_code == 204
    problem(bob.get(f"/api/v1/databases/{shop.id}"), 404, "DATABASE_NOT_FOUND")


def test_known_and_unknown_addresses_get_the_same_answer(alice: Caller, bob: Caller, shop: Database) -> None:
    assert bob.user is not None
    known, unknown = (invite(alice, shop, email) for email in (bob.user.email, "nobody@example.com"))
    assert {key for key in known if known[key] != unknown[key]} == {"id", "email", "sentAt", "expiresAt"}


def test_the_same_key_invites_once(alice: Caller, shop: Database, session: Session) -> None:
    path, body = f"/api/v1/databases/{shop.id}/invitations", {"email": "dora@example.com", "role": "viewer"}
    first, again = (alice.post(path, body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.get_json() == again.get_json()
    assert len(session.scalars(select(Invitation)).all()) == 1


def test_refusals(alice: Caller, bob: Caller, charlie: Caller, shop: Database, session: Session) -> None:
    path = f"/api/v1/databases/{shop.id}/invitations"
    body = problem(alice.post(path, {"email": "bob@example.com", "role": "owner"}), 400, "VALIDATION_ERROR")
    assert list(body["errors"]) == ["role"]
    problem(alice.post(path, {"email": "no address", "role": "viewer"}), 400, "VALIDATION_ERROR")
    problem(alice.post(path, {"email": "alice@example.com", "role": "viewer"}), 409, "CONFLICT")
    problem(charlie.get("/api/v1/invitations"), 403, "KEY_SCOPE_DENIED")
    for missing in (missing_id(), "no-id"):
        problem(alice.post(f"{path}/{missing}/resend"), 404, "NOT_FOUND")
        problem(alice.delete(f"{path}/{missing}"), 404, "NOT_FOUND")
        problem(bob.post(f"/api/v1/invitations/{missing}/decline"), 404, "NOT_FOUND")
    made = invite(alice, shop)
    session.execute(update(Invitation).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    session.commit()
    assert bob.get("/api/v1/invitations").get_json() == {"data": []}
    problem(bob.post(f"/api/v1/invitations/{made['id']}/accept"), 404, "NOT_FOUND")


def test_probing_for_accounts_is_slowed(alice: Caller, shop: Database, app: Any) -> None:
    app.extensions["dbhost"].settings.account_rate = "2 per hour"
    path = f"/api/v1/databases/{shop.id}/members"
    got = [alice.post(path, {"email": f"x{n}@example.com", "role": "viewer"}).status_code for n in range(3)]
    assert got == [404, 404, 429]


def test_a_transfer(alice: Caller, bob: Caller, charlie: Caller, shop: Database, session: Session) -> None:
    path = f"/api/v1/databases/{shop.id}/transfer"
    problem(alice.get(path), 404, "NOT_FOUND")
    offered = alice.post(path, {"email": "bob@example.com", "stay": False})
    assert (offered.status_code, offered.get_json()["stay"]) == (201, False)
    assert alice.get(path).get_json() == offered.get_json()
    assert alice.get(f"/api/v1/databases/{shop.id}/invitations").get_json() == {"data": []}
    found = bob.get("/api/v1/invitations").get_json()["data"][0]
    assert (found["role"], found["database"]) == ("owner", "shop")

    assert bob.user is not None
    session.get_one(User, bob.user.id).plan = "pro"
    session.execute(update(Database).values(size_bytes=3 * 1024**3))
    session.commit()
    problem(bob.post(f"/api/v1/invitations/{found['id']}/accept"), 403, "PLAN_LIMIT")
    session.execute(update(Database).values(size_bytes=0))
    session.commit()
    assert bob.post(f"/api/v1/invitations/{found['id']}/accept").status_code == 200
    for gone in (alice, charlie):
        problem(gone.get(f"/api/v1/databases/{shop.id}"), 404, "DATABASE_NOT_FOUND")
    problem(bob.get(path), 404, "NOT_FOUND")


@pytest.mark.usefixtures("logged_in")
def test_on_the_command_line(bob: Caller, shop: Database, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bob.key is not None
    assert run("databases", "members", "invite", "shop", "bob@example.com", "--level", "viewer").exit_code == 0
    assert "bob@example.com  viewer  invited" in run("databases", "members", "list", "shop").stdout
    assert run("databases", "members", "remove", "shop", "bob@example.com").exit_code == 0
    assert run("databases", "members", "add", "shop", "bob@example.com", "--level", "viewer").exit_code == 0
    assert run("databases", "members", "change", "shop", "Bob@example.com", "--level", "admin").exit_code == 0
    assert session.scalars(select(Member.level)).all() == ["admin"]
    assert run("databases", "members", "change", "shop", "dora@example.com", "--level", "admin").exit_code == 4
    assert run("databases", "transfer", "offer", "shop", "bob@example.com", "--yes").exit_code == 0
    assert "bob@example.com" in run("databases", "transfer", "show", "shop").stdout
    monkeypatch.setenv("DBHOST_API_KEY", bob.key)
    assert "shop" in run("invitations", "list").stdout
    assert run("invitations", "accept", "shop").exit_code == 0
    session.expire_all()
    assert shop.owner.email == "bob@example.com"
    assert run("databases", "transfer", "offer", "shop", "alice@example.com", "--leave", "--yes").exit_code == 0
    assert run("databases", "transfer", "withdraw", "shop").exit_code == 0
    monkeypatch.delenv("DBHOST_API_KEY")
    assert run("databases", "members", "leave", "shop", "--yes").exit_code == 0
    session.expire_all()
    assert session.scalars(select(Member)).all() == []
