"""The team's card on the detail page."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.web.conftest import Browser
from webapp.models import Database, Member


def levels(session: Session) -> dict[str, str]:
    session.expire_all()
    return {member.user.email: member.level for member in session.scalars(select(Member))}


def test_it_works(session: Session, alice: Browser, bob: Browser, shop: Database) -> None:
    path = f"/databases/{shop.id}"
    assert alice.post(f"{path}/members", email="bob@example.com", level="viewer").headers["Location"] == path
    page = alice.page(path)
    assert "bob@example.com is a member now" in page
    assert 'aria-label="Make bob@example.com admin"' in page
    seen = bob.page(path)
    assert "Leave this database" in seen
    assert "Add member" not in seen
    member = session.scalars(select(Member.id)).one()
    assert alice.post(f"{path}/members/{member}/level", level="admin").headers["Location"] == path
    assert levels(session) == {"bob@example.com": "admin"}
    assert "Add member" in bob.page(path)
    assert alice.post(f"{path}/members/{member}/remove").headers["Location"] == path
    assert levels(session) == {}
    assert bob.get(path).status_code == 404


def test_leaving_leads_to_the_list(session: Session, alice: Browser, bob: Browser, shop: Database) -> None:
    alice.post(f"/databases/{shop.id}/members", email="bob@example.com", level="viewer")
    member = session.scalars(select(Member.id)).one()
    assert bob.post(f"/databases/{shop.id}/members/{member}/remove").headers["Location"] == "/databases"
    assert "You left Shop" in bob.page("/databases")
    assert levels(session) == {}


def test_what_is_wrong_is_said(session: Session, alice: Browser, shop: Database) -> None:
    for email, level, status, words in (
        ("nobody@example.com", "viewer", 404, "There is no user with this e-mail address."),
        ("alice@example.com", "viewer", 409, "alice@example.com owns this database."),
        ("nobody@example.com", "owner", 400, "The access level is not one of those that exist."),
    ):
        response = alice.post(f"/databases/{shop.id}/members", email=email, level=level)
        assert response.status_code == status
        assert words in response.get_data(as_text=True)
    assert levels(session) == {}


def test_who_may_not_changes_nothing(
    session: Session, alice: Browser, bob: Browser, root: Browser, shop: Database
) -> None:
    path = f"/databases/{shop.id}/members"
    assert bob.post(path, email="bob@example.com", level="admin").status_code == 404
    alice.post(path, email="bob@example.com", level="viewer")
    alice.post(path, email="root@example.com", level="viewer")
    ids = {member.user.email: member.id for member in session.scalars(select(Member))}
    assert bob.post(f"{path}/{ids['bob@example.com']}/level", level="admin").status_code == 404
    assert bob.post(f"{path}/{ids['root@example.com']}/remove").status_code == 404
    assert alice.client.post(f"{path}/{ids['bob@example.com']}/remove").status_code == 400
    assert levels(session) == {"bob@example.com": "viewer", "root@example.com": "viewer"}
