"""Differences by the API; who may is in test_guards.py."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, missing_id, problem
from tests.api.worker import ScriptedWorker
from tests.support.differences import ALTERED, altered, keep, stranger
from webapp.models import Database, Difference


def test_it_works(admin: Caller, shop: Database, session: Session, worker: ScriptedWorker) -> None:
    keep(session, shop.host, altered(shop), stranger(), looked_at=(shop,))
    [host] = admin.get("/api/v1/drift").get_json()["data"]
    assert (host["host"], host["error"], host["checkedAt"] is not None) == ("db1", None, True)
    ours, strange = host["differences"]
    assert (ours["subject"], ours["sentences"], ours["databaseId"]) == ("shop", [ALTERED], str(shop.id))
    assert (strange["kind"], strange["repairable"], strange["databaseId"]) == ("stranger", False, None)
    done = admin.post(f"/api/v1/drift/{ours['id']}/repair")
    assert (done.status_code, done.get_json()["kind"]) == (200, "database.repair")
    problem(admin.post(f"/api/v1/drift/{strange['id']}/repair"), 409, "CONFLICT")


def test_ignore_and_take_it_back(admin: Caller, shop: Database, session: Session) -> None:
    keep(session, shop.host, altered(shop), looked_at=(shop,))
    address = f"/api/v1/drift/{session.scalars(select(Difference.id)).one()}/ignore"
    ignored = admin.post(address, headers={"Idempotency-Key": "one"})
    assert ignored.get_json()["ignoredBy"].startswith("root@example.com")
    assert admin.post(address, headers={"Idempotency-Key": "one"}).headers["Idempotency-Replayed"] == "true"
    assert admin.delete(address).get_json()["ignoredAt"] is None
    problem(admin.delete(f"/api/v1/drift/{missing_id()}/ignore"), 404, "NOT_FOUND")
    problem(admin.delete("/api/v1/drift/nonsense/ignore"), 404, "NOT_FOUND")
