"""Handing a database over: offered, accepted, declined, taken back."""

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.web.conftest import Browser, Outbox, password_of
from webapp.models import AuditEvent, Database, Invitation, Member, User
from webapp.services import members
from webapp.services.actors import SYSTEM


def offer(alice: Browser, shop: Database, email: str = "bob@example.com", stay: str = "true") -> int:
    return alice.post(f"/databases/{shop.id}/transfer", email=email, stay=stay).status_code


def the_offer(session: Session) -> Invitation | None:
    session.expire_all()
    return session.scalar(select(Invitation))


def take_over(session: Session, browser: Browser) -> int:
    found = the_offer(session)
    assert found is not None
    return browser.post(f"/invitations/{found.id}/accept").status_code


def test_it_works(
    session: Session, alice: Browser, bob: Browser, root: Browser, shop: Database, outbox: Outbox
) -> None:
    gone = members.add_member(session, SYSTEM, shop, "bob@example.com", "viewer").id
    kept = members.add_member(session, SYSTEM, shop, "root@example.com", "developer").id
    session.commit()
    password, path = password_of(shop), f"/databases/{shop.id}"
    assert "Offer it" in alice.page(f"{path}/transfer")
    assert offer(alice, shop) == 303
    assert "wants to hand the database “Shop” over to you" in outbox.messages()[-1].get_content()
    assert "It is offered to bob@example.com" in alice.page(path)
    session.expire_all()
    assert shop.owner.email == "alice@example.com"
    assert "offers you" in bob.page(outbox.link())

    assert take_over(session, bob) == 303
    session.expire_all()
    assert shop.owner.email == "bob@example.com"
    team = {each.user.email: each.level for each in session.scalars(select(Member))}
    assert team == {"alice@example.com": "admin", "root@example.com": "developer"}
    assert session.get(Member, kept) is not None
    assert session.get(Member, gone) is None
    assert password_of(shop) == password
    assert "bob@example.com now owns" in outbox.messages()[-1].get_content()
    assert "Delete this database" in bob.page(path)
    assert "Delete this database" not in alice.page(path)
    assert "1 of" in bob.page("/databases")
    actions = set(session.scalars(select(AuditEvent.action)))
    assert {"transfer.offer", "transfer.accept", "database.hand_over"} <= actions


def test_who_leaves_is_out(session: Session, alice: Browser, bob: Browser, shop: Database) -> None:
    assert offer(alice, shop, stay="false") == 303
    assert take_over(session, bob) == 303
    assert alice.get(f"/databases/{shop.id}").status_code == 404


def test_the_new_owner_s_plan_counts_when_it_is_accepted(
    session: Session, alice: Browser, bob: Browser, shop: Database
) -> None:
    assert bob.user is not None
    assert offer(alice, shop) == 303
    bobs = session.get_one(User, bob.user.id)
    bobs.plan, shop.size_bytes = "free", 300 * 1024**2
    session.add_all([bobs, shop])
    session.commit()
    assert take_over(session, bob) == 403
    found = the_offer(session)
    assert found is not None
    refused = bob.post(f"/invitations/{found.id}/accept").get_data(as_text=True)
    assert "the Free plan allows 250.0 MB a database" in refused
    shop.size_bytes = 0
    session.add(shop)
    session.commit()
    assert bob.post("/databases", display_name="Mine").status_code == 303
    assert take_over(session, bob) == 403
    session.expire_all()
    assert shop.owner.email == "alice@example.com"
    assert session.scalar(select(Member)) is None


def test_an_offer_is_declined_taken_back_or_replaced(
    session: Session, alice: Browser, bob: Browser, root: Browser, shop: Database, outbox: Outbox
) -> None:
    assert offer(alice, shop) == 303
    found = the_offer(session)
    assert found is not None
    assert bob.post(f"/invitations/{found.id}/decline").status_code == 303
    assert "declined" in outbox.messages()[-1].get_content()
    assert the_offer(session) is None

    assert offer(alice, shop) == 303
    first = outbox.link()
    assert offer(alice, shop, "root@example.com") == 303
    assert bob.get(first).status_code == 410
    assert take_over(session, bob) == 404
    assert alice.post(f"/databases/{shop.id}/transfer/withdraw").status_code == 303
    assert the_offer(session) is None
    assert root.get(outbox.link()).status_code == 410
    session.expire_all()
    assert shop.owner.email == "alice@example.com"


def test_nobody_but_the_owner_offers_it(session: Session, alice: Browser, bob: Browser, shop: Database) -> None:
    members.add_member(session, SYSTEM, shop, "bob@example.com", "admin")
    session.commit()
    assert offer(bob, shop, "bob@example.com") == 404
    assert bob.get(f"/databases/{shop.id}/transfer").status_code == 404
    assert offer(alice, shop, "alice@example.com") == 409
    assert offer(alice, shop, "no address") == 400
    assert the_offer(session) is None


def test_it_wants_a_recent_sign_in(app: Flask, alice: Browser, shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.services.auth_sessions.is_recent", lambda _session: False)
    path = f"/databases/{shop.id}/transfer"
    assert alice.get(path).headers["Location"].startswith("/confirm")
    assert alice.post(path, email="bob@example.com").headers["Location"].startswith("/confirm")


def test_the_new_owner_is_not_told_where_the_old_one_was(
    session: Session, alice: Browser, bob: Browser, root: Browser, shop: Database
) -> None:
    def rename(browser: Browser, address: str) -> None:
        browser.client.environ_base["REMOTE_ADDR"] = address
        assert browser.post(f"/databases/{shop.id}/rename", display_name=address[-1]).status_code == 303

    rename(alice, "198.51.100.7")
    assert "198.51.100.7" in alice.page("/activity")
    assert offer(alice, shop) == 303
    assert take_over(session, bob) == 303
    rename(alice, "198.51.100.8")
    rename(bob, "198.51.100.9")

    page = bob.page("/activity")
    assert "alice@example.com</strong> offered to hand over" in page
    assert "198.51.100.7" not in page + bob.page(f"/databases/{shop.id}")
    assert "198.51.100.8" in page
    assert "198.51.100.9" in page
    assert "198.51.100.7" in alice.page("/activity")
    assert "198.51.100.7" in root.page("/activity")
