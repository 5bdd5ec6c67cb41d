"""The list, creating, and the detail page with its masked password."""

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import Browser, password_of
from webapp.models import AuditEvent, Database, Operation
from webapp.services import members
from webapp.services.actors import Actor
from webapp.web import more_snippets
from webapp.web.formatting import MASK


def test_it_works(session: Session, alice: Browser) -> None:
    name = re.findall(r'value="(my-shop-\w{6})"', alice.page("/databases/new/name?display_name=My+Shop"))[0]
    response = alice.post("/databases", display_name="My Shop", name=name)
    database = session.scalars(select(Database)).one()
    assert response.headers["Location"] == f"/databases/{database.id}"
    assert (database.name, database.display_name, database.status) == (name, "My Shop", "creating")
    page = alice.page(response.headers["Location"])
    assert "Creating the database" in page
    assert "Waiting for the host" in page
    assert "skeleton" in page


def test_without_javascript_the_name_is_derived_by_the_service(session: Session, alice: Browser) -> None:
    assert alice.post("/databases", display_name="Größe 1").status_code == 303
    assert re.fullmatch(r"groe-1-\w{6}|gro-e-1-\w{6}|groe?-1-\w{6}", session.scalars(select(Database.name)).one())


@pytest.mark.parametrize("name", ["   ", "x" * 101, "line\nbreak"])
def test_a_display_name_that_breaks_the_rule_is_explained(session: Session, alice: Browser, name: str) -> None:
    response = alice.post("/databases", display_name=name)
    assert response.status_code == 400
    assert "Use 1 to 100 characters" in response.get_data(as_text=True)
    assert session.scalars(select(Database)).all() == []


def test_a_taken_name_gives_the_form_again(alice: Browser, shop: Database) -> None:
    response = alice.post("/databases", display_name="Another", name=shop.name)
    assert response.status_code == 409
    assert "The name shop is taken." in response.get_data(as_text=True)


def test_the_plan_s_limit_is_explained(session: Session, alice: Browser, shop: Database) -> None:
    assert alice.user is not None
    session.merge(alice.user).plan = "free"
    session.commit()
    response = alice.post("/databases", display_name="One more")
    assert response.status_code == 403
    assert "The Free plan allows 1 database." in response.get_data(as_text=True)


def test_search_and_status_narrow_the_list(alice: Browser, shop: Database) -> None:
    assert ">Shop<" in alice.page("/databases?search=SHO&status=active")
    assert "No database matches" in alice.page("/databases?search=%25")
    assert "No database matches" in alice.page("/databases?status=stopped")
    assert ">Shop<" in alice.page("/databases?status=nonsense&page=-3")


def test_a_list_with_something_under_way_looks_again(
    session: Session, alice: Browser, worker: ScriptedWorker, shop: Database
) -> None:
    assert 'hx-trigger="load delay' not in alice.page("/databases")
    alice.post("/databases", display_name="Blog")
    assert 'hx-trigger="load delay' in alice.page("/databases")
    worker.play_all()
    assert 'hx-trigger="load delay' not in alice.page("/databases")


def test_what_a_person_typed_is_text_and_never_markup(alice: Browser) -> None:
    alice.post("/databases", display_name="<img src=x onerror=alert(1)>")
    page = alice.page("/databases")
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_the_password_is_in_no_page_before_it_is_revealed(alice: Browser, shop: Database) -> None:
    password = password_of(shop)
    for path in ("/databases", f"/databases/{shop.id}", "/activity", "/operations", "/settings/api-keys"):
        assert password not in alice.page(path), path
    assert MASK in alice.page(f"/databases/{shop.id}")


def test_reveal_shows_it_and_is_recorded(session: Session, alice: Browser, shop: Database) -> None:
    revealed = alice.post(f"/databases/{shop.id}/credentials")
    assert revealed.headers["Cache-Control"] == "no-store"
    page = revealed.get_data(as_text=True)
    assert f"postgresql://shop:{password_of(shop)}@127.0.0.1:6432/shop" in page
    assert MASK not in page
    assert "database.reveal_credentials" in session.scalars(select(AuditEvent.action)).all()
    assert password_of(shop) not in alice.page(f"/databases/{shop.id}")


def test_a_copy_button_gets_the_password_alone(alice: Browser, shop: Database) -> None:
    headers = {"Accept": "application/json"}
    assert alice.post(f"/databases/{shop.id}/credentials", headers=headers).get_json() == {
        "password": password_of(shop)
    }


def test_every_client_has_its_form_with_the_password_hidden_until_revealed(alice: Browser, shop: Database) -> None:
    for page in (alice.page(f"/databases/{shop.id}"), alice.page(f"/databases/{shop.id}?door=direct")):
        for id, label, _ in more_snippets.ALL:
            assert f'id="tab-{id}"' in page
            assert f">{label}</button>" in page
        assert password_of(shop) not in page
        assert "MASKED" not in page


def test_reveal_needs_the_csrf_token_and_a_post(alice: Browser, shop: Database) -> None:
    assert alice.client.post(f"/databases/{shop.id}/credentials").status_code == 400
    assert alice.get(f"/databases/{shop.id}/credentials").status_code == 405


def test_a_stranger_sees_nothing(bob: Browser, shop: Database) -> None:
    assert "Create your first database" in bob.page("/databases")
    for path in ("", "/stop", "/rename", "/delete", "/reset-password"):
        response = bob.get(f"/databases/{shop.id}{path}")
        assert response.status_code == 404
        assert "shop" not in response.get_data(as_text=True)
    for path in (
        "/credentials",
        "/start",
        "/stop",
        "/restart",
        "/reset-password",
        "/repair-ownership",
        "/rename",
        "/delete",
    ):
        assert bob.post(f"/databases/{shop.id}{path}", confirmation="shop", display_name="Mine").status_code == 404


def test_an_admin_sees_whose_it_is_but_not_the_password(root: Browser, shop: Database) -> None:
    assert "alice@example.com" in root.page("/databases")
    page = root.page(f"/databases/{shop.id}")
    assert "Only the owner can see the password." in page
    assert "dialog-delete" not in page
    assert root.post(f"/databases/{shop.id}/credentials").status_code == 404
    assert root.post(f"/databases/{shop.id}/delete", confirmation="shop").status_code == 404


def test_a_failed_creation_says_why_and_can_be_retried(
    session: Session, alice: Browser, worker: ScriptedWorker
) -> None:
    alice.post("/databases", display_name="Fails", name="it-fails")
    worker.play_all()
    operation = session.scalars(select(Operation)).one()
    page = alice.page(f"/databases/{operation.database_id}")
    assert "Creating the database failed" in page
    assert "The host has no space left" in page
    assert alice.post(f"/operations/{operation.id}/retry").headers["Location"] == f"/databases/{operation.database_id}"
    worker.play_all()
    assert "Database created" in alice.page(f"/databases/{operation.database_id}")


def test_a_shared_database_says_with_which_level(
    session: Session, alice: Browser, bob: Browser, shop: Database
) -> None:
    member = members.add_member(session, Actor("user", alice.user), shop, "bob@example.com", "viewer")
    session.commit()
    assert "shared with you as viewer" in bob.page("/databases")
    assert "shared with you" not in alice.page("/databases")
    page = bob.page(f"/databases/{shop.id}")
    assert "A viewer cannot see the password." in page
    assert "Add network" not in page
    assert bob.post(f"/databases/{shop.id}/credentials").status_code == 404
    assert bob.post(f"/databases/{shop.id}/stop").status_code == 404
    session.merge(member).level = "developer"
    session.commit()
    assert password_of(shop) in bob.post(f"/databases/{shop.id}/credentials").get_data(as_text=True)
    assert bob.post(f"/databases/{shop.id}/reset-password").status_code == 404
