"""Moving a database from its page: a platform admin chooses the host; nobody else sees the choice."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.web.conftest import Browser
from webapp.models import Database, Host, Operation


@pytest.fixture
def db2(session: Session, shop: Database) -> Host:
    """Another host with room."""
    host = Host(name="db2", public_host="db2.example.com", pgbouncer_port=6432)
    session.add(host)
    session.commit()
    return host


def test_it_works(session: Session, root: Browser, alice: Browser, shop: Database, db2: Host) -> None:
    assert "<option>db2</option>" in root.page(f"/databases/{shop.id}")
    assert "Move to another host" not in alice.page(f"/databases/{shop.id}")
    response = root.post(f"/databases/{shop.id}/move", host="db2")
    operation = session.scalars(select(Operation).where(Operation.kind == "database.move")).one()
    assert response.headers["Location"] == f"/operations/{operation.id}"
    assert "Moving the database to another host" in root.page(response.headers["Location"])
    assert "Move to another host" not in root.page(f"/databases/{shop.id}")


def test_a_refusal_is_on_the_page(root: Browser, shop: Database, db2: Host) -> None:
    response = root.post(f"/databases/{shop.id}/move", host="db9")
    assert response.status_code == 404
    assert "There is no such host." in response.get_data(as_text=True)


def test_without_another_host_there_is_nothing_to_choose(root: Browser, shop: Database) -> None:
    assert "Move to another host" not in root.page(f"/databases/{shop.id}")


def test_the_owner_cannot(alice: Browser, shop: Database, db2: Host) -> None:
    assert alice.post(f"/databases/{shop.id}/move", host="db2").status_code == 404
