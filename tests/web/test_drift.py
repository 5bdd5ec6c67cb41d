"""What differs: all of it on the admin page, and that it does on the database's page."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.differences import FILES, altered, keep, stranger
from tests.web.conftest import Browser
from webapp.models import Database, Difference, Operation

DIFFERS = "This database differs from what it should be"


@pytest.fixture
def found(session: Session, shop: Database) -> dict[str, Difference]:
    keep(session, shop.host, altered(shop), FILES, stranger(), looked_at=(shop,))
    return {row.kind: row for row in session.scalars(select(Difference))}


def test_it_works(root: Browser, alice: Browser, shop: Database, found: dict[str, Difference]) -> None:
    page = root.page("/admin/drift")
    for words in (
        "ALTER ROLE &#34;shop&#34; CONNECTION LIMIT 40",
        "Restore hba.conf",
        "roles: helper",
        "Known to nobody",
    ):
        assert words in page
    seen = alice.page(f"/databases/{shop.id}")
    assert DIFFERS in seen
    assert "CONNECTION LIMIT" not in seen
    assert "ALTER ROLE" in root.page(f"/databases/{shop.id}")


def test_repair_leads_to_its_operation(
    session: Session, root: Browser, shop: Database, found: dict[str, Difference]
) -> None:
    response = root.post(f"/admin/drift/{found['database'].id}/repair")
    operation = session.scalars(select(Operation).where(Operation.kind == "database.repair")).one()
    assert response.headers["Location"] == f"/operations/{operation.id}"
    assert "Making it what it should be" in root.page(response.headers["Location"])
    refused = root.post(f"/admin/drift/{found['database'].id}/repair")
    assert refused.status_code == 409
    assert "Another operation on this database has not ended yet." in refused.get_data(as_text=True)


def test_a_stranger_has_no_repair(root: Browser, found: dict[str, Difference]) -> None:
    assert 'aria-label="Repair: roles: helper"' not in root.page("/admin/drift")
    assert root.post(f"/admin/drift/{found['stranger'].id}/repair").status_code == 409


def test_ignored_and_noticed_again(root: Browser, alice: Browser, shop: Database, found: dict[str, Difference]) -> None:
    assert root.post(f"/admin/drift/{found['database'].id}/ignore").headers["Location"] == "/admin/drift"
    page = root.page("/admin/drift")
    assert "ignored by root@example.com" in page
    assert DIFFERS not in alice.page(f"/databases/{shop.id}")
    root.post(f"/admin/drift/{found['database'].id}/notice")
    assert "ignored by" not in root.page("/admin/drift")
    assert DIFFERS in alice.page(f"/databases/{shop.id}")


def test_a_lost_database_is_said_to_be(session: Session, root: Browser, shop: Database) -> None:
    keep(session, shop.host, altered(shop, 'CREATE DATABASE "shop"'), looked_at=(shop,))
    assert "The database is not there any more." in root.page("/admin/drift")


def test_check_now(root: Browser, shop: Database) -> None:
    assert "Not checked yet." in root.page("/admin/drift")
    assert root.post("/admin/drift/check").headers["Location"] == "/admin/drift"
    assert "The hosts are being checked" in root.page("/admin/drift")
