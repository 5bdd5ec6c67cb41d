"""POST /databases/{id}/reset-password."""

from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Make, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database
from webapp.services import databases


def test_it_works(alice: Caller, shop: Database, worker: ScriptedWorker, session: Session) -> None:
    old = databases.credentials(shop).password
    response = alice.post(f"/api/v1/databases/{shop.id}/reset-password")
    assert response.status_code == 200
    assert list(response.get_json()) == ["password"]
    assert response.get_json()["password"] != old
    assert response.headers["Cache-Control"] == "no-store"
    session.refresh(shop)
    assert databases.credentials(shop).password == response.get_json()["password"]


def test_selected_key_may(charlie: Caller, shop: Database, worker: ScriptedWorker) -> None:
    assert charlie.post(f"/api/v1/databases/{shop.id}/reset-password", {}).status_code == 200


def test_refusals(bob: Caller, admin: Caller, alice: Caller, shop: Database, make_database: Make) -> None:
    path = f"/api/v1/databases/{shop.id}/reset-password"
    problem(bob.post(path), 404, "DATABASE_NOT_FOUND")
    problem(admin.post(path), 404, "DATABASE_NOT_FOUND")
    problem(alice.post(path, {"password": "mine"}), 400, "VALIDATION_ERROR")
    going = make_database(alice, "going", status="deleting")
    problem(alice.post(f"/api/v1/databases/{going.id}/reset-password"), 409, "DATABASE_NOT_ACTIVE")
