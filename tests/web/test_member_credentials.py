"""A member's own credentials on the database's page."""

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import Browser
from webapp.models import Database, Member
from webapp.services import members
from webapp.services.actors import SYSTEM


def test_made_shown_once_and_ended(
    session: Session, alice: Browser, bob: Browser, shop: Database, worker: ScriptedWorker
) -> None:
    path = f"/databases/{shop.id}"
    members.add_member(session, SYSTEM, shop, "bob@example.com", "developer")
    session.commit()
    assert "Your own credentials" not in alice.page(path)
    assert "Get credentials" in bob.page(path)
    assert bob.post(f"{path}/members/me/credentials").headers["Location"] == path
    assert "Show the connection string once" not in bob.page(path)
    worker.play_all()
    assert "Show the connection string once" in bob.page(path)
    shown = bob.post(f"{path}/members/me/credentials/show").get_data(as_text=True)
    assert re.search(r"postgresql://shop\.[a-z0-9]{8}:[^@]+@", shown)
    assert bob.post(f"{path}/members/me/credentials/show").status_code == 404
    page = bob.page(path)
    assert not re.search(r"postgresql://shop\.[a-z0-9]{8}:", page)
    assert "New password" in page
    assert "has a role of their own" in alice.page(path)
    member = session.scalars(select(Member.id)).one()
    assert bob.post(f"{path}/members/{member}/credentials/end").status_code == 404
    assert alice.post(f"{path}/members/{member}/credentials/end").headers["Location"] == path
    worker.play_all()
    assert "Get credentials" in bob.page(path)


def test_nobody_else_has_any(bob: Browser, root: Browser, alice: Browser, shop: Database) -> None:
    for person in (bob, root, alice):
        assert person.post(f"/databases/{shop.id}/members/me/credentials").status_code == 404
