"""Sign-up, forgotten passwords and changed addresses, by links that arrive by mail."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tests.web.conftest import PASSWORD, Browser, Outbox
from webapp.models import AuditEvent, AuthSession, OneTimeToken, User

NEW = "another good password"


@pytest.fixture
def open_to_all(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.config import settings

    monkeypatch.setattr(settings(), "sign_up", "open")
    monkeypatch.setattr(app.extensions["dbhost"].settings, "sign_up", "open")


def token_in(link: str) -> str:
    return link.partition("token=")[2]


def ask_for_reset(browser: Browser, outbox: Outbox, email: str = "alice@example.com") -> str:
    """Ask for a new password; the link's token."""
    assert "Look into your mail" in browser.post("/forgot-password", email=email).get_data(as_text=True)
    return token_in(outbox.link())


def test_it_works(open_to_all: None, session: Session, anonymous: Browser, outbox: Outbox) -> None:
    answer = anonymous.post("/sign-up", email="dora@example.com")
    assert answer.status_code == 200
    assert session.scalars(select(User)).all() == []
    link = outbox.link()
    assert "dora@example.com" in anonymous.page(link)
    finished = anonymous.post("/sign-up/finish", token=token_in(link), password=NEW, repeated=NEW)
    assert finished.headers["Location"] == "/databases"
    assert "Create your first database" in anonymous.page("/databases")
    assert session.scalars(select(User.email)).all() == ["dora@example.com"]


def test_a_link_works_once(open_to_all: None, anonymous: Browser, outbox: Outbox) -> None:
    anonymous.post("/sign-up", email="dora@example.com")
    form = {"token": token_in(outbox.link()), "password": NEW, "repeated": NEW}
    assert anonymous.post("/sign-up/finish", **form).status_code == 303
    again = anonymous.post("/sign-up/finish", **form)
    assert again.status_code == 410
    assert "used already" in again.get_data(as_text=True)


def test_a_password_that_cannot_be_leaves_the_link_usable(
    open_to_all: None, anonymous: Browser, outbox: Outbox
) -> None:
    anonymous.post("/sign-up", email="dora@example.com")
    token = token_in(outbox.link())
    short = anonymous.post("/sign-up/finish", token=token, password="short", repeated="short")
    assert (short.status_code, "Use 8 to 256 characters." in short.get_data(as_text=True)) == (400, True)
    other = anonymous.post("/sign-up/finish", token=token, password=NEW, repeated="different")
    assert "This differs from the first." in other.get_data(as_text=True)
    assert anonymous.post("/sign-up/finish", token=token, password=NEW, repeated=NEW).status_code == 303


@pytest.mark.parametrize("path", ["/sign-up", "/forgot-password"])
def test_the_answer_does_not_tell_who_has_an_account(
    open_to_all: None, alice: Browser, anonymous: Browser, path: str
) -> None:
    known = anonymous.post(path, email="alice@example.com").get_data(as_text=True)
    unknown = anonymous.post(path, email="nobody@example.com").get_data(as_text=True)

    def told(page: str, email: str) -> str:
        return page.partition("<body>")[2].replace(email, "EMAIL")

    assert told(known, "alice@example.com") == told(unknown, "nobody@example.com")


def test_who_has_an_account_is_told_by_mail(open_to_all: None, alice: Browser, outbox: Outbox) -> None:
    Browser(alice.client).post("/sign-up", email="Alice@example.com")
    [mail] = outbox.messages()
    assert mail["To"] == "Alice@example.com"
    assert "You have one already" in mail.get_content()


@pytest.mark.parametrize(("mode", "words"), [("invite", "by invitation"), ("closed", "No new accounts")])
def test_a_closed_door(app: Flask, anonymous: Browser, outbox: Outbox, mode: str, words: str) -> None:
    app.extensions["dbhost"].settings.sign_up = mode
    assert words in anonymous.page("/sign-up")
    assert anonymous.post("/sign-up", email="dora@example.com").status_code == 403
    assert outbox.messages() == []


def test_a_new_password_ends_every_session(
    session: Session, alice: Browser, anonymous: Browser, outbox: Outbox
) -> None:
    token = ask_for_reset(anonymous, outbox)
    assert "alice@example.com" in anonymous.page(f"/reset-password?token={token}")
    changed = anonymous.post("/reset-password", token=token, password=NEW, repeated=NEW)
    assert changed.headers["Location"] == "/sign-in"
    assert alice.get("/databases").status_code == 303
    assert anonymous.sign_in("alice@example.com").status_code == 401
    assert anonymous.sign_in("alice@example.com", NEW).status_code == 303
    assert "password" in outbox.messages()[-1]["Subject"]
    assert "user.reset_password" in session.scalars(select(AuditEvent.action)).all()


def test_only_the_newest_link_works(alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    first, second = (ask_for_reset(anonymous, outbox) for _ in range(2))
    assert anonymous.post("/reset-password", token=first, password=NEW, repeated=NEW).status_code == 410
    assert anonymous.post("/reset-password", token=second, password=NEW, repeated=NEW).status_code == 303


def test_an_old_link_does_not_work(session: Session, alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    token = ask_for_reset(anonymous, outbox)
    session.execute(update(OneTimeToken).values(expires_at=func.now()))
    session.commit()
    assert anonymous.get(f"/reset-password?token={token}").status_code == 410
    assert anonymous.post("/reset-password", token=token, password=NEW, repeated=NEW).status_code == 410


def test_a_link_is_for_one_purpose(alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    token = ask_for_reset(anonymous, outbox)
    assert anonymous.post("/change-email", token=token).status_code == 410
    assert anonymous.post("/sign-up/finish", token=token, password=NEW, repeated=NEW).status_code == 410


def test_a_banned_user_gets_no_link(session: Session, alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    assert alice.user is not None
    token = ask_for_reset(anonymous, outbox)
    session.merge(alice.user).state = "banned"
    session.commit()
    assert anonymous.post("/reset-password", token=token, password=NEW, repeated=NEW).status_code == 410
    anonymous.post("/forgot-password", email="alice@example.com")
    assert len(outbox.messages()) == 1


def test_no_token_is_kept(session: Session, alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    token = ask_for_reset(anonymous, outbox)
    rows = session.scalars(select(OneTimeToken)).all()
    events = session.scalars(select(AuditEvent)).all()
    assert token not in "".join(str(vars(row)) for row in [*rows, *events])


def test_a_changed_address(session: Session, alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    assert alice.post("/settings/email", email="alice@new.example").status_code == 303
    assert outbox.messages()[-1]["To"] == "alice@new.example"
    assert session.scalars(select(User.email)).one() == "alice@example.com"
    link = outbox.link()
    assert "alice@new.example" in anonymous.page(link)
    assert anonymous.post("/change-email", token=token_in(link)).status_code == 303
    assert [mail["To"] for mail in outbox.messages()][-1] == "alice@example.com"
    assert anonymous.sign_in("alice@new.example").status_code == 303
    assert "alice@new.example" in alice.page("/settings")


def test_an_address_that_somebody_has_is_not_given_away(
    session: Session, alice: Browser, bob: Browser, outbox: Outbox
) -> None:
    assert alice.post("/settings/email", email="bob@example.com").status_code == 303
    assert "You have one already" in outbox.messages()[-1].get_content()
    assert sorted(session.scalars(select(User.email))) == ["alice@example.com", "bob@example.com"]


def test_mails_are_limited(app: Flask, alice: Browser, anonymous: Browser) -> None:
    app.extensions["dbhost"].settings.mail_rate = "8 per hour"
    statuses = [anonymous.post("/forgot-password", email="alice@example.com").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    others = [anonymous.post("/forgot-password", email=f"x{n}@example.com").status_code for n in range(6)]
    assert others == [200] * 5 + [429]


def test_one_account_is_guarded_from_many_addresses(app: Flask, alice: Browser, anonymous: Browser) -> None:
    app.extensions["dbhost"].settings.account_rate = "3 per hour"
    for number in range(3):
        address = {"REMOTE_ADDR": f"192.0.2.{number}"}
        form = {"csrf_token": anonymous.token(), "email": "alice@example.com", "password": "wrong password"}
        assert anonymous.client.post("/sign-in", data=form, environ_overrides=address).status_code == 401
    assert anonymous.sign_in("alice@example.com").status_code == 429
    assert anonymous.sign_in("bob@example.com").status_code == 401


def lock_out(app: Flask, anonymous: Browser) -> None:
    """A stranger guesses until nobody gets in to Alice's account from anywhere new."""
    app.extensions["dbhost"].settings.account_rate = "3 per hour"
    for _ in range(3):
        assert anonymous.sign_in("alice@example.com", "wrong password").status_code == 401
    assert anonymous.sign_in("alice@example.com").status_code == 429


def test_a_stranger_does_not_shut_out_a_browser_that_signed_in_before(
    app: Flask, alice: Browser, bob: Browser, anonymous: Browser
) -> None:
    alice.post("/sign-out")
    bob.post("/sign-out")
    lock_out(app, anonymous)
    assert bob.sign_in("alice@example.com").status_code == 429
    assert alice.sign_in("alice@example.com").status_code == 303
    alice.post("/sign-out")
    assert [alice.sign_in("alice@example.com", "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_a_forged_device_is_unknown(app: Flask, alice: Browser, anonymous: Browser) -> None:
    lock_out(app, anonymous)
    known = alice.client.get_cookie("dbhost_device_8000")
    assert known is not None
    for value in (known.value[:-2], "x", f"{known.value}x"):
        anonymous.client.set_cookie("dbhost_device_8000", value)
        assert anonymous.sign_in("alice@example.com").status_code == 429


def test_the_owner_gets_in_by_mail_while_strangers_guess(
    app: Flask, alice: Browser, anonymous: Browser, outbox: Outbox
) -> None:
    lock_out(app, anonymous)
    own, new = Browser(app.test_client()), "another good password"
    own.post("/forgot-password", email="alice@example.com")
    token = outbox.link().partition("token=")[2]
    assert own.post("/reset-password", token=token, password=new, repeated=new).status_code == 303
    assert own.sign_in("alice@example.com", new).status_code == 303
    assert anonymous.sign_in("alice@example.com", new).status_code == 429


def grow_old(session: Session) -> None:
    """Let every session's last proof be an hour ago."""
    session.execute(update(AuthSession).values(confirmed_at=func.now() - timedelta(hours=1)))
    session.commit()


def test_a_dangerous_change_wants_a_recent_proof(session: Session, alice: Browser, outbox: Outbox) -> None:
    grow_old(session)
    page = {"headers": {"Referer": "http://localhost/settings"}}
    refused = alice.post("/settings/email", email="alice@new.example", **page)  # type: ignore[arg-type]
    assert refused.headers["Location"] == "/confirm?next=/settings"
    assert outbox.messages() == []
    assert "Nothing was changed" in alice.page("/confirm")
    assert alice.post("/confirm", next="/settings", password="wrong password").status_code == 401
    assert alice.post("/confirm", next="/settings", password=PASSWORD).headers["Location"] == "/settings"
    assert alice.post("/settings/email", email="alice@new.example").headers["Location"] == "/settings"
    assert len(outbox.messages()) == 1


@pytest.mark.parametrize("path", ["/settings/api-keys", "/settings/email"])
def test_what_counts_as_dangerous(session: Session, alice: Browser, path: str) -> None:
    grow_old(session)
    assert alice.post(path, label="x", email="x@example.com").headers["Location"].startswith("/confirm")


def test_deleting_a_database_wants_one_too(session: Session, alice: Browser, shop) -> None:  # type: ignore[no-untyped-def]
    grow_old(session)
    path = f"/databases/{shop.id}/delete"
    assert alice.get(path).headers["Location"] == f"/confirm?next={path}"
    assert alice.post(path, confirmation="shop").headers["Location"].startswith("/confirm")
    session.refresh(shop)
    assert shop.desired_state == "present"
