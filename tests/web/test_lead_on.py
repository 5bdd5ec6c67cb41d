"""Limits and dead ends lead on: what will be refused is said beforehand, with what helps."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.orm import Session

import webapp
from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import Browser
from webapp.config import settings
from webapp.models import Database, WebhookEndpoint

LISTS = (
    "/databases", "/operations", "/activity", "/admin/users", "/admin/databases", "/admin/operations",
    "/admin/audit-log", "/settings/webhooks/{endpoint}",
)  # fmt: skip


def test_every_list_with_pages_is_tried_below() -> None:
    templates = (Path(webapp.__file__).parent / "templates").rglob("*.html")
    assert len([path for path in templates if "ui.pages(" in path.read_text(encoding="utf-8")]) == len(LISTS)


def test_a_field_that_was_refused_has_the_focus() -> None:
    """The browser scrolls to it and focuses it, without any script."""
    folder = Path(webapp.__file__).parent / "templates"
    tags = [
        tag
        for path in folder.rglob("*.html")
        for tag in re.findall(r"<(?:input|select|textarea)\b[^<]*", path.read_text(encoding="utf-8"))
    ]
    silent = [tag for tag in tags if "aria-invalid" in tag and "autofocus" not in tag]
    assert len(tags) > 50
    assert silent == []


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.usefixtures("shop")
def test_a_page_after_the_last_leads_to_the_last(root: Browser, session: Session, path: str) -> None:
    if "{endpoint}" in path:
        root.post("/settings/webhooks", url="https://example.com/hook", events="backup.failed")
        path = path.format(endpoint=webhook(session))
    for number in ("99", "99999999999999999999"):
        answer = root.get(f"{path}?page={number}&search=")
        assert answer.status_code == 302
        assert answer.headers["Location"] in (f"{path}?page=1&search=", f"{path}?search=&page=1")
    assert root.get(f"{path}?page=1").status_code == 200


def webhook(session: Session) -> str:
    return str(session.query(WebhookEndpoint.id).scalar())


def test_filters_stay_on_the_way_to_the_last_page(alice: Browser, shop: Database) -> None:
    answer = alice.get("/databases?search=sho&status=active&page=7", follow_redirects=True)
    assert ">Shop<" in answer.get_data(as_text=True)


def test_a_full_plan_says_so_before_the_form(session: Session, alice: Browser, shop: Database) -> None:
    assert 'name="display_name"' in alice.page("/databases/new")
    assert alice.user is not None
    session.merge(alice.user).plan = "free"
    session.commit()
    for path in ("/databases", "/databases/new"):
        page = alice.page(path)
        assert "The Free plan allows 1 database." in page
        assert "ask an admin" in page
        assert 'name="display_name"' not in page
    assert 'data-shortcut="c"' not in alice.page("/databases")


def test_with_billing_it_offers_another_plan(
    session: Session, alice: Browser, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "stripe_api_key", SecretStr("sk_test"))
    assert alice.user is not None
    session.merge(alice.user).plan = "free"
    session.commit()
    assert '<a class="button button-small" href="/settings/billing">Upgrade</a>' in alice.page("/databases")


def test_a_protected_database_says_so_before_its_name_is_typed(alice: Browser, shop: Database) -> None:
    assert 'name="confirmation"' in alice.page(f"/databases/{shop.id}/delete")
    alice.post(f"/databases/{shop.id}/protection", protected="true")
    page = alice.page(f"/databases/{shop.id}/delete")
    assert "Shop is protected from being deleted" in page
    assert 'name="confirmation"' not in page
    assert "Delete protection is on. Switch it off first." in alice.page(f"/databases/{shop.id}")


def test_a_deletion_can_be_undone_where_it_ended(
    alice: Browser, root: Browser, shop: Database, session: Session, worker: ScriptedWorker
) -> None:
    shop.applied_generation = shop.generation
    session.commit()
    place = alice.post(f"/databases/{shop.id}/delete", confirmation="shop").headers["Location"]
    assert "Undo" not in alice.page(place)
    worker.play_all()
    form = f'action="/databases/{shop.id}/undelete"'
    assert form in alice.page(place)
    assert form not in root.page(place)
    assert alice.post(f"/databases/{shop.id}/undelete").status_code == 303
    worker.play_all()
    session.refresh(shop)
    assert (shop.status, shop.deleted_at) == ("active", None)
