"""GET, POST, PATCH and DELETE /databases/{id}/members."""

from tests.api.conftest import Caller, missing_id, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database


def test_it_works(alice: Caller, bob: Caller, shop: Database) -> None:
    path = f"/api/v1/databases/{shop.id}/members"
    made = alice.post(path, {"email": "Bob@Example.com", "role": "viewer"})
    assert made.status_code == 201, made.get_data(as_text=True)
    member = made.get_json()
    assert member == {"id": member["id"], "email": "bob@example.com", "role": "viewer"}
    assert bob.get(path).get_json() == {"data": [member]}
    assert bob.get("/api/v1/databases").get_json()["data"][0]["name"] == "shop"

    changed = alice.patch(f"{path}/{member['id']}", {"role": "admin"})
    assert (changed.status_code, changed.get_json()) == (200, {**member, "role": "admin"})
    assert bob.patch(f"/api/v1/databases/{shop.id}", {"displayName": "Ours"}).status_code == 200

    assert bob.delete(f"{path}/{member['id']}").status_code == 204
    problem(bob.get(path), 404, "DATABASE_NOT_FOUND")


def test_the_same_key_adds_once(alice: Caller, bob: Caller, shop: Database) -> None:
    path, body, key = f"/api/v1/databases/{shop.id}/members", {"email": "bob@example.com", "role": "viewer"}, "k1"
    first, again = (alice.post(path, body, headers={"Idempotency-Key": key}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(alice.post(path, body), 409, "CONFLICT")


def test_an_admin_resets_the_password_and_a_developer_does_not(
    alice: Caller, bob: Caller, shop: Database, worker: ScriptedWorker
) -> None:
    path = f"/api/v1/databases/{shop.id}"
    member = alice.post(f"{path}/members", {"email": "bob@example.com", "role": "developer"}).get_json()
    problem(bob.post(f"{path}/reset-password"), 404, "DATABASE_NOT_FOUND")
    alice.patch(f"{path}/members/{member['id']}", {"role": "admin"})
    assert bob.post(f"{path}/reset-password").get_json()["password"]
    problem(bob.delete(path), 404, "DATABASE_NOT_FOUND")


def test_refusals(alice: Caller, bob: Caller, shop: Database) -> None:
    path = f"/api/v1/databases/{shop.id}/members"
    problem(bob.post(path, {"email": "bob@example.com", "role": "admin"}), 404, "DATABASE_NOT_FOUND")
    problem(alice.post(path, {"email": "nobody@example.com", "role": "admin"}), 404, "NOT_FOUND")
    problem(alice.post(path, {"email": "alice@example.com", "role": "admin"}), 409, "CONFLICT")
    body = problem(alice.post(path, {"email": "bob@example.com", "role": "owner"}), 400, "VALIDATION_ERROR")
    assert list(body["errors"]) == ["role"]
    for missing in (missing_id(), "no-id"):
        problem(alice.patch(f"{path}/{missing}", {"role": "viewer"}), 404, "NOT_FOUND")
        problem(alice.delete(f"{path}/{missing}"), 404, "NOT_FOUND")
