"""Inviting somebody by mail, and answering: with an account, without one, with somebody else's."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.web.conftest import PASSWORD, Browser, Outbox
from webapp.config import settings
from webapp.models import AuditEvent, Database, Invitation, Member, User


def invite(browser: Browser, shop: Database, email: str, level: str = "developer") -> None:
    answer = browser.post(f"/databases/{shop.id}/invitations", email=email, level=level)
    assert answer.status_code == 303, answer.get_data(as_text=True)


def team(session: Session) -> dict[str, str]:
    session.expire_all()
    return {member.user.email: member.level for member in session.scalars(select(Member))}


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


def open_ones(session: Session) -> list[Invitation]:
    session.expire_all()
    return list(session.scalars(select(Invitation)))


def test_somebody_with_an_account_accepts(
    session: Session, alice: Browser, bob: Browser, shop: Database, outbox: Outbox
) -> None:
    invite(alice, shop, "Bob@Example.com")
    mail = outbox.messages()[-1]
    assert mail["To"] == "bob@example.com"
    assert "alice@example.com invites you to the database “Shop”, as developer." in mail.get_content()
    assert team(session) == {}
    assert "Invited as developer" in alice.page(f"/databases/{shop.id}")

    page = bob.page(outbox.link())
    assert "alice@example.com" in page
    assert "from alice@example.com" in bob.page("/databases")
    accept = f"/invitations/{open_ones(session)[0].id}/accept"
    assert bob.post(accept).headers["Location"] == f"/databases/{shop.id}"
    assert team(session) == {"bob@example.com": "developer"}
    assert "bob@example.com is now a member of" in outbox.messages()[-1].get_content()
    assert "<p>Accepted an invitation</p>" in bob.page(f"/databases/{shop.id}")
    assert open_ones(session) == []
    assert bob.post(accept).status_code == 404


def test_somebody_without_an_account_makes_one(
    session: Session, app: Flask, anonymous: Browser, alice: Browser, shop: Database, outbox: Outbox
) -> None:
    invite(alice, shop, "dora@example.com", "viewer")
    link = outbox.link()
    assert "Create the account and accept" in anonymous.page(link)
    form = {"token": token_of(link), "password": "a long password", "repeated": "another one"}
    assert anonymous.post("/invitations/join", **form).status_code == 400
    form["repeated"] = form["password"]
    assert anonymous.post("/invitations/join", **form).headers["Location"] == f"/databases/{shop.id}"
    assert team(session) == {"dora@example.com": "viewer"}
    assert anonymous.get(f"/databases/{shop.id}").status_code == 200
    assert Browser(app.test_client()).sign_in("dora@example.com", "a long password").status_code == 303
    assert Browser(app.test_client()).get(link).status_code == 410


def test_the_page_says_the_same_of_known_and_unknown_addresses(alice: Browser, bob: Browser, shop: Database) -> None:
    path, said = f"/databases/{shop.id}", []
    for email in ("bob@example.com", "nobody@example.com"):
        invite(alice, shop, email, "viewer")
        page = alice.page(path)
        assert f"An invitation is on its way to {email}" in page
        team_card = page[page.index('id="team"') : page.index("member-email")]
        said.append(team_card.count("Invited as viewer"))
    assert said == [1, 2]
    assert bob.get(path).status_code == 404


def test_a_link_opens_nothing_for_somebody_else(
    session: Session, anonymous: Browser, alice: Browser, bob: Browser, root: Browser, shop: Database, outbox: Outbox
) -> None:
    invite(alice, shop, "bob@example.com")
    found, link = open_ones(session)[0], outbox.link()
    assert "This is for somebody else" in root.page(link)
    assert root.post(f"/invitations/{found.id}/accept").status_code == 404
    assert root.post(f"/invitations/{found.id}/decline").status_code == 404
    assert "Sign in to answer" in anonymous.page(link)
    form = {"token": token_of(link), "password": PASSWORD, "repeated": PASSWORD}
    assert anonymous.post("/invitations/join", **form).status_code == 409
    assert bob.sign_in("bob@example.com").status_code == 303
    assert team(session) == {}


def test_a_link_ends(session: Session, alice: Browser, bob: Browser, shop: Database, outbox: Outbox) -> None:
    invite(alice, shop, "bob@example.com")
    first, found = outbox.link(), open_ones(session)[0]
    path = f"/databases/{shop.id}/invitations/{found.id}"
    assert alice.post(f"{path}/resend").status_code == 303
    second = outbox.link()
    assert (bob.get(first).status_code, bob.get(second).status_code) == (410, 200)

    session.execute(update(Invitation).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    session.commit()
    assert bob.get(second).status_code == 410
    assert bob.post(f"/invitations/{found.id}/accept").status_code == 404
    assert "· ended" in alice.page(f"/databases/{shop.id}")

    assert alice.post(f"{path}/resend").status_code == 303
    assert alice.post(f"{path}/withdraw").status_code == 303
    assert bob.get(outbox.link()).status_code == 410
    assert open_ones(session) == []
    assert team(session) == {}


def test_it_is_kept_for_seven_days_and_only_as_a_hash(
    session: Session, alice: Browser, shop: Database, outbox: Outbox
) -> None:
    invite(alice, shop, "bob@example.com")
    found = open_ones(session)[0]
    left = found.expires_at - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    token = token_of(outbox.link())
    assert len(token) == 43
    told = str([vars(each) for each in (found, *session.scalars(select(AuditEvent)))])
    assert token not in told


def test_an_invitation_ends_with_the_right_of_who_made_it(
    session: Session, alice: Browser, bob: Browser, root: Browser, shop: Database
) -> None:
    invite(alice, shop, "bob@example.com", "admin")
    assert bob.post(f"/invitations/{open_ones(session)[0].id}/accept").status_code == 303
    invite(bob, shop, "root@example.com")
    member = session.scalars(select(Member.id)).one()
    alice.post(f"/databases/{shop.id}/members/{member}/level", level="developer")
    assert root.post(f"/invitations/{open_ones(session)[0].id}/accept").status_code == 404
    assert team(session) == {"bob@example.com": "developer"}


def test_declining_tells_who_invited(
    session: Session, alice: Browser, bob: Browser, shop: Database, outbox: Outbox
) -> None:
    invite(alice, shop, "bob@example.com")
    assert bob.post(f"/invitations/{open_ones(session)[0].id}/decline").status_code == 303
    assert "bob@example.com declined your invitation" in outbox.messages()[-1].get_content()
    assert (open_ones(session), team(session)) == ([], {})


def test_what_is_wrong_is_said(session: Session, alice: Browser, shop: Database) -> None:
    for email, level, status, words in (
        ("alice@example.com", "viewer", 409, "alice@example.com owns this database."),
        ("dora@example.com", "owner", 400, "Use one of admin, developer, viewer."),
        ("no address", "viewer", 400, "email"),
    ):
        response = alice.post(f"/databases/{shop.id}/invitations", email=email, level=level)
        assert response.status_code == status, words
        assert words in response.get_data(as_text=True)
    assert open_ones(session) == []


def test_no_account_is_made_where_there_are_none(
    session: Session, anonymous: Browser, alice: Browser, shop: Database, outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    invite(alice, shop, "dora@example.com")
    link = outbox.link()
    monkeypatch.setattr(settings(), "sign_up", "closed")
    assert "No new accounts" in anonymous.page(link)
    form = {"token": token_of(link), "password": PASSWORD, "repeated": PASSWORD}
    assert anonymous.post("/invitations/join", **form).status_code == 403
    assert session.scalar(select(User).where(User.email == "dora@example.com")) is None


def test_mails_to_one_address_are_limited(alice: Browser, shop: Database) -> None:
    path, form = f"/databases/{shop.id}/invitations", {"email": "dora@example.com", "level": "viewer"}
    assert [alice.post(path, **form).status_code for _ in range(6)] == [303] * 5 + [429]
