"""The team's card on the detail page."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.web.conftest import Browser
from webapp.models import Database, Member
from webapp.services import members
from webapp.services.actors import SYSTEM


def levels(session: Session) -> dict[str, str]:
    session.expire_all()
    return {member.user.email: member.level for member in session.scalars(select(Member))}


def add(session: Session, shop: Database, level: str, email: str = "bob@example.com") -> Member:
    member = members.add_member(session, SYSTEM, shop, email, level)
    session.commit()
    return member


def test_it_works(session: Session, alice: Browser, bob: Browser, shop: Database) -> None:
    path, member = f"/databases/{shop.id}", add(session, shop, "viewer").id
    assert 'aria-label="Make bob@example.com admin"' in alice.page(path)
    seen = bob.page(path)
    assert "Leave this database" in seen
    assert "member-email" not in seen
    assert alice.post(f"{path}/members/{member}/level", level="admin").headers["Location"] == path
    assert levels(session) == {"bob@example.com": "admin"}
    assert "member-email" in bob.page(path)
    assert alice.post(f"{path}/members/{member}/remove").headers["Location"] == path
    assert levels(session) == {}
    assert bob.get(path).status_code == 404


def test_leaving_leads_to_the_list(session: Session, bob: Browser, shop: Database) -> None:
    member = add(session, shop, "viewer").id
    assert bob.post(f"/databases/{shop.id}/members/{member}/remove").headers["Location"] == "/databases"
    assert "You left Shop" in bob.page("/databases")
    assert levels(session) == {}


@pytest.mark.usefixtures("bob")
def test_a_level_that_is_none_is_refused(session: Session, alice: Browser, shop: Database) -> None:
    member = add(session, shop, "viewer").id
    assert alice.post(f"/databases/{shop.id}/members/{member}/level", level="owner").status_code == 400
    assert levels(session) == {"bob@example.com": "viewer"}


def test_who_may_not_changes_nothing(
    session: Session, alice: Browser, bob: Browser, root: Browser, shop: Database
) -> None:
    assert root.user is not None
    path = f"/databases/{shop.id}/members"
    add(session, shop, "viewer")
    add(session, shop, "viewer", root.user.email)
    ids = {member.user.email: member.id for member in session.scalars(select(Member))}
    assert bob.post(f"{path}/{ids['bob@example.com']}/level", level="admin").status_code == 404
    assert bob.post(f"{path}/{ids['root@example.com']}/remove").status_code == 404
    assert alice.client.post(f"{path}/{ids['bob@example.com']}/remove").status_code == 400
    assert levels(session) == {"bob@example.com": "viewer", "root@example.com": "viewer"}
