"""Hosts by the API; who may is in test_guards.py."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from tests.services.test_host_changes import KEY, spec
from tests.support.reports import keep, make_report
from webapp.models import AuditEvent, Database, Host
from webapp.services import host_changes
from webapp.services.actors import SYSTEM
from webapp.services.host_keys import check_key, fingerprint


def test_it_works(admin: Caller, shop: Database, host: Host, session: Session) -> None:
    keep(session, host, make_report())
    host_changes.begin_enrolment(session, SYSTEM, spec(region="eu-1"))
    session.commit()
    first, second = admin.get("/api/v1/hosts").get_json()["data"]
    assert (first["name"], first["state"], first["databases"], first["address"]) == ("db1", "active", 1, None)
    assert (first["postgresVersion"], first["publicHost"]) == ("18.0", "db1.example.com")
    assert (second["name"], second["state"], second["region"], second["address"]) == (
        "db9", "enrolling", "eu-1", "192.0.2.9",
    )  # fmt: skip
    assert second["hostKeyFingerprints"] == [fingerprint(check_key(KEY))]
    assert admin.get("/api/v1/hosts/db9").get_json() == second


def test_change(admin: Caller, shop: Database, session: Session) -> None:
    changes = {"state": "offline", "capacity": 7, "region": "eu-2", "publicHost": "pg.example.com"}
    changed = admin.patch("/api/v1/hosts/db1", changes).get_json()
    assert {name: changed[name] for name in changes} == changes
    assert changed["problems"] == ["The host is offline."]
    assert admin.get(f"/api/v1/databases/{shop.id}").get_json()["host"] == "pg.example.com"
    events = session.scalars(select(AuditEvent).where(AuditEvent.action.like("host.%")).order_by(AuditEvent.id)).all()
    assert [event.action for event in events] == ["host.update", "host.offline"]
    assert events[0].actor_label.startswith("root@example.com")
    assert admin.patch("/api/v1/hosts/db1", {}).get_json()["state"] == "offline"
    assert admin.patch("/api/v1/hosts/db1", {"capacity": 507.0}).get_json()["capacity"] == 507


def test_what_is_refused(admin: Caller, host: Host, session: Session) -> None:
    problem(admin.get("/api/v1/hosts/nothing"), 404, "NOT_FOUND")
    for wrong in (
        {"state": "enrolling"},
        {"capacity": -1},
        {"region": "EU"},
        {"publicHost": "a b"},
        {"state": None},
        {"name": "x"},
    ):
        problem(admin.patch("/api/v1/hosts/db1", wrong), 400, "VALIDATION_ERROR")
    host_changes.begin_enrolment(session, SYSTEM, spec())
    session.commit()
    problem(admin.patch("/api/v1/hosts/db9", {"state": "active"}), 409, "CONFLICT")
    problem(admin.post("/api/v1/hosts", {"name": "new"}), 405, "METHOD_NOT_ALLOWED")


def test_a_call_on_an_offline_host_is_answered_at_once(alice: Caller, shop: Database, session: Session) -> None:
    shop.host.state = "offline"
    session.commit()
    body = problem(alice.post(f"/api/v1/databases/{shop.id}/stop"), 503, "HOST_UNAVAILABLE")
    assert "stays queued" in body["detail"]
