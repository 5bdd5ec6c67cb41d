"""Members' own credentials by the API; who may is in test_guards.py."""

import pytest
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, problem
from tests.api.worker import ScriptedWorker
from webapp.models import Database
from webapp.services import members
from webapp.services.actors import SYSTEM


@pytest.fixture
def address(bob: Caller, shop: Database, session: Session, worker: ScriptedWorker) -> str:
    """Where Bob, a viewer of the shop, gets his own."""
    assert bob.user is not None
    members.add_member(session, SYSTEM, shop, bob.user.email, "viewer")
    session.commit()
    return f"/api/v1/databases/{shop.id}/members/me/credentials"


def test_it_works(bob: Caller, shop: Database, address: str) -> None:
    made = bob.post(address)
    assert made.status_code == 201, made.get_data(as_text=True)
    first = made.get_json()
    assert (first["database"], first["username"].partition(".")[0]) == ("shop", "shop")
    assert first["connectionString"].startswith(f"postgresql://{first['username']}:{first['password']}@")
    ports = (f":{first['port']}/", f":{first['directPort']}/")
    assert first["directConnectionString"] == first["connectionString"].replace(*ports)
    assert ports == (":6432/", ":6433/")
    second = bob.post(address).get_json()
    assert second["username"] == first["username"]
    assert second["password"] != first["password"]
    assert bob.delete(address).status_code == 204
    problem(bob.delete(address), 404, "NOT_FOUND")


def test_a_password_is_never_lost(bob: Caller, address: str) -> None:
    """Asked for without waiting, it is in the answer to the same request again, and again."""
    key = {"Idempotency-Key": "mine"}
    assert bob.post(address, headers={**key, "Prefer": "respond-async"}).status_code == 202
    made = bob.post(address, headers=key)
    assert made.status_code == 201, made.get_data(as_text=True)
    assert bob.post(address, headers=key).get_json() == made.get_json()
