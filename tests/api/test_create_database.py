"""POST /databases."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from tests.api.worker import ScriptedWorker
from webapp.models import AuditEvent, Database, Operation

PATH = "/api/v1/databases"
SHOP = {"name": "shop", "displayName": "My shop"}


def databases(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Database)) or 0


def test_it_works(alice: Caller, worker: ScriptedWorker, session: Session) -> None:
    response = alice.post(PATH, SHOP)
    assert response.status_code == 201
    body = response.get_json()
    assert list(body) == [
        "id", "name", "displayName", "host", "port", "directPort", "database", "username", "password", "status",
        "connectionString", "directConnectionString",
    ]  # fmt: skip
    assert body["name"] == body["database"] == body["username"] == "shop"
    assert (body["displayName"], body["host"], body["port"], body["status"]) == (
        "My shop", "db1.example.com", 6432, "active",
    )  # fmt: skip
    string = f"postgresql://shop:{body['password']}@db1.example.com:6432/shop?sslmode=require"
    assert body["connectionString"] == string
    assert body["directPort"] == 6433
    assert body["directConnectionString"] == string.replace(":6432/", ":6433/")
    assert response.headers["Cache-Control"] == "no-store"
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "database.create")).one()
    assert event.actor_label == "alice@example.com (API key alice)"
    assert event.request_id == response.headers["X-Request-Id"]


def test_wait_preference_runs_out(alice: Caller, session: Session) -> None:
    response = alice.post(PATH, SHOP, headers={"Prefer": "wait=0"})
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=0"
    operation = session.scalars(select(Operation)).one()
    assert response.headers["Location"] == f"/api/v1/operations/{operation.id}"
    assert response.get_json()["state"] == "queued"
    assert response.get_json()["kind"] == "database.create"


def test_respond_async(alice: Caller, worker: ScriptedWorker) -> None:
    response = alice.post(PATH, SHOP, headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    assert "password" not in response.get_data(as_text=True)


def test_failure_on_the_host(alice: Caller, worker: ScriptedWorker) -> None:
    worker.outcome = lambda _operation: "failed"
    body = problem(alice.post(PATH, SHOP), 500, "AGENT_ERROR")
    assert "Ensure roles and databases" in body["detail"]


def test_host_out_of_reach(alice: Caller, worker: ScriptedWorker, session: Session) -> None:
    worker.outcome = lambda _operation: "unreachable"
    response = alice.post(PATH, SHOP)
    problem(response, 503, "HOST_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) > 0
    assert session.scalars(select(Operation)).one().state == "queued"


def test_cancelled_meanwhile(alice: Caller, worker: ScriptedWorker) -> None:
    worker.outcome = lambda _operation: "cancelled"
    problem(alice.post(PATH, SHOP), 409, "CONFLICT")


def test_name_taken_whoever_has_it(bob: Caller, shop: Database) -> None:
    problem(bob.post(PATH, SHOP), 409, "NAME_TAKEN")


def test_plan_without_room(enrol: Any, make_database: Any) -> None:
    paula = enrol("paula", plan="pro")
    for number in range(5):
        make_database(paula, f"paula-{number}")
    problem(paula.post(PATH, SHOP), 403, "PLAN_LIMIT")


def test_selected_key(charlie: Caller, session: Session) -> None:
    problem(charlie.post(PATH, {"name": "blog", "displayName": "Blog"}), 403, "KEY_SCOPE_DENIED")
    assert databases(session) == 1


REFUSED_NAMES = [
    "ab", "a" * 51, "Shop", "1shop", "shop-", "-shop", "sh_op", "sh op", "shöp", "shop\n", "shop\0", "", "postgres",
    "template1", "pgbouncer", "all", "dbhost-control", 'shop"; DROP DATABASE postgres; --', "shop\nevil = host=x",
    "\u0455hop", "\ud800hop",
]  # fmt: skip
WRONG_FIELDS: list[tuple[Any, set[str]]] = [
    ({}, {"name", "displayName"}),
    ({"name": "shop"}, {"displayName"}),
    ({"displayName": "Shop"}, {"name"}),
    ({"name": 1, "displayName": True}, {"name", "displayName"}),
    ({"name": None, "displayName": None}, {"name", "displayName"}),
    ({"name": ["shop"], "displayName": {}}, {"name", "displayName"}),
    ({**SHOP, "owner": "bob"}, {"owner"}),
    ({**SHOP, "display_name": "x"}, {"display_name"}),
    ({**SHOP, "displayName": ""}, {"displayName"}),
    ({**SHOP, "displayName": "   "}, {"displayName"}),
    ({**SHOP, "displayName": "x" * 101}, {"displayName"}),
    ({**SHOP, "displayName": "a\nb"}, {"displayName"}),
    ({**SHOP, "displayName": "a\0b"}, {"displayName"}),
    ({**SHOP, "displayName": "\udfff"}, {"displayName"}),
    ({"name": "UP", "displayName": ""}, {"name", "displayName"}),
]


def test_refused_names(alice: Caller, session: Session) -> None:
    for name in REFUSED_NAMES:
        body = problem(alice.post(PATH, {"name": name, "displayName": "x"}), 400, "VALIDATION_ERROR")
        assert list(body["errors"]) == ["name"], name
    assert databases(session) == 0


def test_wrong_fields_are_each_named(alice: Caller, session: Session) -> None:
    for body, fields in WRONG_FIELDS:
        assert set(problem(alice.post(PATH, body), 400, "VALIDATION_ERROR")["errors"]) == fields, body
    assert databases(session) == 0


def test_display_name_is_trimmed_free_text(alice: Caller, worker: ScriptedWorker) -> None:
    response = alice.post(PATH, {"name": "shop", "displayName": " Café “№1” 🐘 "})
    assert response.get_json()["displayName"] == "Café “№1” 🐘"
