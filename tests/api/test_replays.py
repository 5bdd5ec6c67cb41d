"""An answer that is given again is a new question of permission, and shows the secret of its own operation or none."""

import threading
from itertools import islice
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.api import test_guards
from tests.api.conftest import Caller, problem
from tests.api.test_follow_operation import read
from tests.api.test_guards import ENDPOINT, INVITED, PEOPLE, PREPARED, RULES, STATES, a_member, reset, routes
from tests.api.worker import ScriptedWorker
from webapp.models import Backup, Database, Difference, Operation
from webapp.services import members
from webapp.services.actors import SYSTEM

people = test_guards.people
PATH = "/api/v1/databases"
PARTS = 3
# One more of these sends one more mail, and of those the second finds nothing to answer.
# What they do twice is what they do once; and what is shown is today's, never a stored answer.
WITHOUT_A_KEY = {
    "POST databases_api.reveal_credentials",
    "POST invitations_api.resend",
    "POST own_invitations_api.accept",
    "POST own_invitations_api.decline",
}
BY_OPERATORS = {"PATCH hosts_api.change", "POST stripe_events.take", "POST user_events.take"}
# Whoever has left is a stranger, also to the answer.
GONE_BY_ITSELF = {"DELETE members_api.leave"}
# No grant of somebody else's is behind these: only the key itself counts.
OF_THE_ACCOUNT = ("webhooks_api.",)
LOSSES = {
    "demoted": "UPDATE members SET level = 'viewer' WHERE user_id = '{user}';"
    "UPDATE databases SET owner_id = '{other}' WHERE owner_id = '{user}';"
    "UPDATE users SET platform_role = 'user' WHERE id = '{user}'",
    "removed": "DELETE FROM members WHERE user_id = '{user}';"
    "UPDATE databases SET owner_id = '{other}' WHERE owner_id = '{user}';"
    "UPDATE users SET platform_role = 'user' WHERE id = '{user}'",
    "banned": "UPDATE users SET state = 'banned' WHERE id = '{user}'",
    "revoked": "UPDATE api_keys SET revoked_at = now() WHERE user_id = '{user}'",
    "scope": "UPDATE api_keys SET scope = 'selected' WHERE user_id = '{user}' AND scope = 'full'",
}


def keyed(app: Flask) -> list[str]:
    """The routes that take an Idempotency-Key, by the OpenAPI document."""
    document = app.test_client().get("/api/v1/openapi.json").get_json()
    taking = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
        if any(given["name"] == "Idempotency-Key" for given in said.get("parameters", ()))
    }
    return [
        route
        for route, address in routes(app).items()
        if (route.partition(" ")[0], address.replace("<", "{").replace(">", "}")) in taking
    ]


def test_every_change_takes_a_key(app: Flask) -> None:
    changing = {route for route in routes(app) if not route.startswith("GET ")}
    assert changing - set(keyed(app)) == WITHOUT_A_KEY | BY_OPERATORS


def address_of(route: str, address: str, shop: Database, queued: Operation, backup: Backup, member: str) -> str:
    row_id = shop.id if address.startswith(PATH) else queued.id
    known = {"id": row_id, "member_id": member, "filename": backup.filename, "invitation_id": INVITED}
    known["delivery_id"] = queued.id
    for name, value in known.items():
        address = address.replace(f"<{name}>", str(value))
    return address


def whoever_may(route: str, people: dict[str, Caller]) -> tuple[str, Caller]:
    """The one with the least right among those who may."""
    for person in ("admin", "platform admin", "owner"):
        if RULES[route][PEOPLE.index(person)] < 300:
            return person, people[person]
    raise AssertionError(route)


def lasts(route: str, loss: str) -> bool:
    """Whether the loss takes nothing from whoever made the call."""
    if loss in ("demoted", "removed") and route.partition(" ")[2].startswith(OF_THE_ACCOUNT):
        return True
    return loss == "demoted" and RULES[route][PEOPLE.index("viewer")] < 300 and route != "POST databases_api.create"


@pytest.mark.parametrize("part", range(PARTS))
def test_whoever_lost_the_right_gets_nothing_again(
    app: Flask, people: dict[str, Caller], shop: Database, queued: Operation, backup: Backup, session: Session,
    part: int,
) -> None:  # fmt: skip
    held = app.extensions["dbhost"].settings
    held.change_rate = held.sign_in_rate = held.mail_rate = "9999 per minute"
    session.add(
        Difference(id=queued.id, host_id=shop.host_id, database_id=shop.id, kind="database", subject="shop",
                   sentences=["ALTER ROLE"], repairable=True)
    )  # fmt: skip
    other = people["stranger"].user
    assert other is not None
    for route in islice(keyed(app), part, None, PARTS):
        method, _, endpoint = route.partition(" ")
        person, caller = whoever_may(route, people)
        assert caller.user is not None
        reset(session, queued, STATES.get(endpoint, "succeeded"))
        member = a_member(session, shop)
        session.execute(text(PREPARED.get(endpoint, "SELECT 1")))
        session.execute(
            text(ENDPOINT.replace("{id}", str(queued.id)).replace("alice", caller.user.email.split("@")[0]))
        )
        session.commit()
        path = address_of(route, routes(app)[route], shop, queued, backup, member)
        headers = {"Prefer": "respond-async", "Idempotency-Key": route.replace(" ", "-")}

        def call(caller: Caller = caller, method: str = method, path: str = path, headers: Any = headers,
                 endpoint: str = endpoint) -> Any:  # fmt: skip
            return caller.call(method, path, headers=headers, **test_guards.body(endpoint))

        first = call()
        assert first.status_code < 300, f"{route} by {person}: {first.get_data(as_text=True)}"
        if route not in GONE_BY_ITSELF:
            again = call()
            assert (again.status_code, again.get_data()) == (first.status_code, first.get_data()), route
        for loss, statement in LOSSES.items():
            if lasts(route, loss):
                continue
            session.execute(text("CREATE TEMP TABLE kept_users AS SELECT * FROM users"))
            session.execute(text("CREATE TEMP TABLE kept_keys AS SELECT * FROM api_keys"))
            session.execute(text("CREATE TEMP TABLE kept_databases AS SELECT id, owner_id FROM databases"))
            session.execute(text("CREATE TEMP TABLE kept_members AS SELECT * FROM members"))
            for one in statement.format(user=caller.user.id, other=other.id).split(";"):
                session.execute(text(one))
            session.commit()
            refused = call()
            assert refused.status_code in (401, 403, 404), f"{route} by {person}, {loss}: {refused.get_data()!r}"
            assert "Idempotency-Replayed" not in refused.headers
            for one in RESTORED:
                session.execute(text(one))
            session.commit()


RESTORED = (
    "UPDATE users u SET state = k.state, platform_role = k.platform_role FROM kept_users k WHERE k.id = u.id",
    "UPDATE api_keys a SET revoked_at = k.revoked_at, scope = k.scope FROM kept_keys k WHERE k.id = a.id",
    "UPDATE databases d SET owner_id = k.owner_id FROM kept_databases k WHERE k.id = d.id",
    "INSERT INTO members SELECT * FROM kept_members ON CONFLICT (id) DO UPDATE SET level = excluded.level",
    "DROP TABLE kept_users, kept_keys, kept_databases, kept_members",
)


@pytest.fixture
def dora(enrol: Any, session: Session, shop: Database) -> Caller:
    """An admin of the shop."""
    made: Caller = enrol("dora")
    assert made.user is not None
    members.add_member(session, SYSTEM, shop, made.user.email, "admin")
    session.commit()
    return made


def test_a_demoted_member_does_not_get_the_owners_password(
    alice: Caller, dora: Caller, shop: Database, idle_worker: ScriptedWorker, session: Session
) -> None:
    """She had reset it once, by a call that was answered before the end."""
    key = {"Idempotency-Key": "reset-1"}
    path = f"{PATH}/{shop.id}/reset-password"
    assert dora.post(path, headers={**key, "Prefer": "respond-async"}).status_code == 202
    idle_worker.play_once()
    alice.post(path, headers={"Prefer": "respond-async"})
    idle_worker.play_once()
    today = problem(dora.post(path, headers=key), 409, "CONFLICT")
    assert "replaced since" in today["detail"]
    session.execute(text("UPDATE members SET level = 'viewer'"))
    session.commit()
    problem(dora.post(path, headers=key), 404, "DATABASE_NOT_FOUND")


def test_a_password_that_is_still_the_operations_own_is_told(
    dora: Caller, shop: Database, idle_worker: ScriptedWorker
) -> None:
    key = {"Idempotency-Key": "reset-1"}
    path = f"{PATH}/{shop.id}/reset-password"
    assert dora.post(path, headers={**key, "Prefer": "respond-async"}).status_code == 202
    idle_worker.play_once()
    first = dora.post(path, headers=key)
    assert len(first.get_json()["password"]) > 20
    assert dora.post(path, headers=key).get_json() == first.get_json()


@pytest.mark.parametrize("loss", ["demoted", "removed", "banned", "revoked", "scope"])
def test_a_right_that_goes_while_the_call_waits(
    dora: Caller, bob: Caller, shop: Database, idle_worker: ScriptedWorker, session: Session, loss: str
) -> None:
    """The operation goes on; its secret is not told."""
    assert dora.user is not None
    assert bob.user is not None

    def lose() -> None:
        for one in LOSSES[loss].format(user=dora.user.id, other=bob.user.id).split(";"):  # type: ignore[union-attr]
            session.execute(text(one))
        session.commit()
        idle_worker.play_once()

    timer = threading.Timer(0.5, lose)
    timer.start()
    response = dora.post(f"{PATH}/{shop.id}/reset-password")
    timer.join()
    assert response.status_code in (401, 404)
    assert "password" not in response.get_json()


@pytest.mark.parametrize("loss", ["removed", "banned", "revoked", "scope"])
def test_a_right_that_goes_while_a_stream_is_open(
    dora: Caller, bob: Caller, queued: Operation, idle_worker: ScriptedWorker, session: Session, loss: str
) -> None:
    assert dora.user is not None
    assert bob.user is not None
    response = dora.get(f"/api/v1/operations/{queued.id}/events", buffered=False)
    chunks = response.iter_encoded()
    next(chunks)
    assert b"queued" in next(chunks)
    for one in LOSSES[loss].format(user=dora.user.id, other=bob.user.id).split(";"):
        session.execute(text(one))
    session.commit()
    idle_worker.play_once()
    rest = b"".join(chunks).decode()
    response.close()
    assert [body for _, body in read(rest)] == []


def test_deleting_again_with_another_query_is_another_request(
    alice: Caller, shop: Database, idle_worker: ScriptedWorker
) -> None:
    key = {"Idempotency-Key": "delete-1", "Prefer": "respond-async"}
    assert alice.delete(f"{PATH}/{shop.id}?skipFinalBackup=true", headers=key).status_code == 202
    problem(alice.delete(f"{PATH}/{shop.id}", headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    idle_worker.play_once()
    done = alice.delete(f"{PATH}/{shop.id}?skipFinalBackup=true", headers={"Idempotency-Key": "delete-1"})
    assert done.status_code == 204
    again = alice.delete(f"{PATH}/{shop.id}?skipFinalBackup=true", headers={"Idempotency-Key": "delete-1"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (204, "true")
