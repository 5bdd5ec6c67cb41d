"""PATCH /databases/{id}."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from webapp.models import AuditEvent, Database


def test_it_works(alice: Caller, shop: Database, session: Session) -> None:
    response = alice.patch(f"/api/v1/databases/{shop.id}", {"displayName": "New name"})
    assert response.status_code == 200
    assert response.get_json()["displayName"] == "New name"
    assert response.get_json()["name"] == "shop"
    assert alice.get(f"/api/v1/databases/{shop.id}").get_json() == response.get_json()
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "database.rename")).one()
    assert event.details == {"from": "Shop", "to": "New name"}


def test_nothing_to_change(alice: Caller, shop: Database) -> None:
    response = alice.patch(f"/api/v1/databases/{shop.id}", {})
    assert response.status_code == 200
    assert response.get_json()["displayName"] == "Shop"


def test_refusals(alice: Caller, bob: Caller, shop: Database) -> None:
    path = f"/api/v1/databases/{shop.id}"
    for body in ({"displayName": None}, {"displayName": 1}, {"name": "other"}, {"displayName": "\t"}):
        problem(alice.patch(path, body), 400, "VALIDATION_ERROR")
    problem(bob.patch(path, {"displayName": "Mine"}), 404, "DATABASE_NOT_FOUND")
    assert alice.get(path).get_json()["displayName"] == "Shop"
