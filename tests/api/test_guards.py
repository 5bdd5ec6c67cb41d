"""Every route of the API by everybody who may call it. A route without a row here fails, a forgotten check raises."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Make
from webapp import http
from webapp.models import Database, Operation
from webapp.services import api_keys, guards
from webapp.services.actors import SYSTEM

BLUEPRINTS = ("databases_api", "allowlist_api", "operations_api", "events_api", "health_api", "probes", "api_docs")
PEOPLE = ("owner", "selected", "elsewhere", "stranger", "admin", "banned", "anonymous")
# What each of PEOPLE gets. `selected` is a key for this database, `elsewhere` one for another database of the owner's.
OWN = (202, 202, 404, 404, 404, 401, 401)
OPERATE = (202, 202, 404, 404, 202, 401, 401)
SEE = (200, 200, 404, 404, 200, 401, 401)
LIST = (200, 200, 200, 200, 200, 401, 401)
PUBLIC = (200,) * 7
RULES: dict[str, tuple[int, ...]] = {
    "GET databases_api.index": LIST,
    "POST databases_api.create": (202, 403, 403, 202, 202, 401, 401),
    "GET databases_api.show": SEE,
    "GET databases_api.show_metrics": SEE,
    "PATCH databases_api.change": SEE,
    "DELETE databases_api.delete": OWN,
    "POST databases_api.reset_password": OWN,
    "POST databases_api.repair_ownership": OPERATE,
    "POST databases_api.start": OPERATE,
    "POST databases_api.stop": OPERATE,
    "POST databases_api.restart": OPERATE,
    "GET allowlist_api.show": SEE,
    "PUT allowlist_api.replace": OPERATE,
    "GET operations_api.index": LIST,
    "GET operations_api.show": SEE,
    "POST operations_api.cancel": SEE,
    "POST operations_api.retry": OPERATE,
    "GET events_api.follow": SEE,
    "GET health_api.show": LIST,
    "GET probes.alive": PUBLIC,
    "GET probes.ready": PUBLIC,
    "GET probes.metrics": PUBLIC,
    "GET api_docs.document": PUBLIC,
    "GET api_docs.show": PUBLIC,
}
BODIES: dict[str, Any] = {
    "databases_api.create": {"name": "fresh", "displayName": "Fresh"},
    "databases_api.change": {},
    "allowlist_api.replace": {"data": []},
}
# The state that makes the operation fit for the call; every other call finds nothing under way.
STATES = {"operations_api.cancel": "queued", "operations_api.retry": "failed"}


def routes(app: Flask) -> dict[str, str]:
    """`METHOD endpoint` of each route of the API, with its address."""
    return {
        f"{method} {rule.endpoint}": rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] in BLUEPRINTS
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


@pytest.fixture
def people(
    alice: Caller, bob: Caller, admin: Caller, charlie: Caller, nobody: Caller, enrol: Any, session: Session,
    make_database: Make,
) -> dict[str, Caller]:  # fmt: skip
    make_database(alice, "blog")
    assert alice.user is not None
    elsewhere = api_keys.create_key(
        session, SYSTEM, alice.user, label="elsewhere", scope="selected", databases=["blog"]
    )
    banned = enrol("banned")
    session.execute(text("UPDATE users SET state = 'banned' WHERE email LIKE 'banned%'"))
    session.commit()
    other = Caller(alice.client, elsewhere.secret)
    return dict(zip(PEOPLE, (alice, charlie, other, bob, admin, banned, nobody), strict=True))


def test_every_route_has_a_rule(app: Flask) -> None:
    assert set(routes(app)) == set(RULES)


def test_everybody_gets_what_the_rule_says(
    app: Flask, people: dict[str, Caller], shop: Database, queued: Operation, session: Session
) -> None:
    app.extensions["dbhost"].settings.change_rate = app.extensions["dbhost"].settings.sign_in_rate = "9999 per minute"
    for route, address in routes(app).items():
        method, _, endpoint = route.partition(" ")
        row_id = shop.id if address.startswith("/api/v1/databases") else queued.id
        for person, expected in zip(PEOPLE, RULES[route], strict=True):
            reset(session, queued, STATES.get(endpoint, "succeeded"))
            response = people[person].call(
                method, address.replace("<id>", str(row_id)), json=BODIES.get(endpoint),
                headers={"Prefer": "respond-async"},
            )  # fmt: skip
            assert response.status_code == expected, f"{route} by {person}: {response.get_data(as_text=True)}"
            response.close()


def reset(session: Session, operation: Operation, state: str) -> None:
    """Take back what the last call did."""
    session.execute(text("UPDATE databases SET name = 'gone-' || id WHERE name = 'fresh'"))
    session.execute(text("UPDATE operations SET state = 'succeeded', cancel_requested_at = NULL, attempt = 0"))
    session.execute(text("UPDATE databases SET status = 'active', desired_state = 'present', deleted_at = NULL"))
    values = {"id": operation.id, "state": state}
    session.execute(text("UPDATE operations SET state = :state WHERE id = :id"), values)
    newest = "UPDATE operations SET generation = d.generation FROM databases d WHERE d.id = database_id"
    session.execute(text(newest))
    session.commit()


def guarded(view: Callable[[], str], method: str, app: Flask) -> None:
    """Answer one request with *view*, below the guards."""
    with app.test_request_context("/", method=method):
        g.marks = guards.begin()
        http.require_marks(app.make_response(view()))


def test_the_guards_raise(app: Flask) -> None:
    def forgetful() -> str:
        return "well"

    def checked() -> str:
        guards.mark_authorized()
        return "well"

    def recorded() -> str:
        guards.mark_audited()
        return checked()

    with pytest.raises(AssertionError, match="without an authorization check"):
        guarded(forgetful, "GET", app)
    with pytest.raises(AssertionError, match="without an audit event"):
        guarded(checked, "POST", app)
    guarded(checked, "GET", app)
    guarded(recorded, "POST", app)
