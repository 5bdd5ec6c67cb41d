"""POST /databases/{id}/move."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from webapp.models import AuditEvent, Database, Host, Operation

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def db2(session: Session, shop: Database) -> Host:
    """Another host with room."""
    host = Host(name="db2", public_host="db2.example.com", pgbouncer_port=6432)
    session.add(host)
    session.commit()
    return host


def test_it_is_queued(session: Session, admin: Caller, shop: Database, db2: Host) -> None:
    response = admin.call("POST", f"/api/v1/databases/{shop.id}/move", json={"host": "db2"}, headers=ASYNC)
    assert (response.status_code, response.get_json()["kind"]) == (202, "database.move")
    operation = session.scalars(select(Operation).where(Operation.kind == "database.move")).one()
    assert (operation.lane, operation.host.name, operation.params["target_id"]) == ("long", "db1", str(db2.id))
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "database.move")).one()
    assert event.details == {"from": "db1", "to": "db2"}
    assert admin.get(f"/api/v1/databases/{shop.id}").get_json()["status"] == "restoring"


def test_refusals(alice: Caller, admin: Caller, shop: Database, db2: Host) -> None:
    path = f"/api/v1/databases/{shop.id}/move"
    problem(alice.post(path, {"host": "db2"}), 404, "DATABASE_NOT_FOUND")
    problem(admin.post(path, {}), 400, "VALIDATION_ERROR")
    problem(admin.post(path, {"host": "db1"}), 409, "CONFLICT")
    problem(admin.post(path, {"host": "db9"}), 404, "NOT_FOUND")
