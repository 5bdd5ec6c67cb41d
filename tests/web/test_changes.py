"""Stop, start, restart, reset, repair, rename and delete from the detail page."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import Browser, password_of
from webapp.models import Database, Operation


def kinds(session: Session) -> list[str]:
    return list(session.scalars(select(Operation.kind).order_by(Operation.created_at)))


def test_it_works(session: Session, alice: Browser, worker: ScriptedWorker, shop: Database) -> None:
    for change in ("stop", "start", "restart", "repair-ownership"):
        assert alice.post(f"/databases/{shop.id}/{change}").headers["Location"] == f"/databases/{shop.id}"
        worker.play_all()
    assert kinds(session)[1:] == [
        "database.stop", "database.start", "database.restart", "database.repair_ownership",
    ]  # fmt: skip


def test_a_stopped_database_says_so_and_offers_to_start(alice: Browser, worker: ScriptedWorker, shop: Database) -> None:
    alice.post(f"/databases/{shop.id}/stop")
    worker.play_all()
    page = alice.page(f"/databases/{shop.id}")
    assert "This database is stopped" in page
    assert f'action="/databases/{shop.id}/start"' in page
    assert 'data-dialog="dialog-stop"' not in page


def test_a_reset_gives_a_new_password(session: Session, alice: Browser, worker: ScriptedWorker, shop: Database) -> None:
    old = password_of(shop)
    alice.post(f"/databases/{shop.id}/reset-password")
    worker.play_all()
    session.refresh(shop)
    assert password_of(shop) != old
    assert "The old password is dead" in alice.page(f"/databases/{shop.id}")


@pytest.mark.parametrize("change", ["stop", "restart", "reset-password", "rename", "delete"])
def test_each_dialog_is_also_a_page(alice: Browser, shop: Database, change: str) -> None:
    page = alice.page(f"/databases/{shop.id}/{change}")
    assert f'action="/databases/{shop.id}/{change}"' in page
    assert f'data-dialog="dialog-{change}"' in alice.page(f"/databases/{shop.id}")


def test_a_change_during_another_is_refused_with_the_reason(session: Session, alice: Browser, shop: Database) -> None:
    alice.post(f"/databases/{shop.id}/stop")
    response = alice.post(f"/databases/{shop.id}/restart")
    assert response.status_code == 409
    assert "Another operation on this database has not ended yet." in response.get_data(as_text=True)
    assert kinds(session) == ["database.create", "database.stop"]


def test_a_change_without_the_csrf_token_changes_nothing(session: Session, alice: Browser, shop: Database) -> None:
    for change in ("stop", "restart", "reset-password", "rename", "delete"):
        response = alice.client.post(f"/databases/{shop.id}/{change}", data={"confirmation": "shop"})
        assert response.status_code == 400
        assert "Please try again" in response.get_data(as_text=True)
    assert kinds(session) == ["database.create"]


def test_rename(session: Session, alice: Browser, shop: Database) -> None:
    assert alice.post(f"/databases/{shop.id}/rename", display_name=" Laden ").status_code == 303
    assert "Database renamed" in alice.page(f"/databases/{shop.id}")
    session.refresh(shop)
    assert (shop.display_name, shop.name) == ("Laden", "shop")


def test_a_bad_new_name_is_explained(alice: Browser, shop: Database) -> None:
    response = alice.post(f"/databases/{shop.id}/rename", display_name=" ")
    assert response.status_code == 400
    assert "Use 1 to 100 characters" in response.get_data(as_text=True)


@pytest.mark.parametrize("typed", ["", "Shop", "shop2", "sho"])
def test_delete_needs_the_exact_name(session: Session, alice: Browser, shop: Database, typed: str) -> None:
    response = alice.post(f"/databases/{shop.id}/delete", confirmation=typed)
    assert response.status_code == 400
    assert "Type shop to confirm." in response.get_data(as_text=True)
    assert kinds(session) == ["database.create"]


def test_delete_leads_to_its_operation(
    session: Session, alice: Browser, worker: ScriptedWorker, shop: Database
) -> None:
    location = alice.post(f"/databases/{shop.id}/delete", confirmation="shop").headers["Location"]
    assert "Deleting the database" in alice.page(location)
    assert "Deleting" in alice.page("/databases")
    worker.play_all()
    assert "Database deleted" in alice.page(location)
    assert alice.get(f"/databases/{shop.id}").status_code == 404
    assert "Create your first database" in alice.page("/databases")
