"""Password, sessions and API keys."""

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.web.conftest import PASSWORD, Browser
from webapp.models import ApiKey, AuthSession, Database

NEW = "another good password"


def test_it_works(alice: Browser) -> None:
    page = alice.page("/settings")
    assert "alice@example.com" in page
    assert "0 of 20" in page


def test_changing_the_password_ends_other_sessions(anonymous: Browser, alice: Browser) -> None:
    other = anonymous
    assert other.sign_in("alice@example.com").status_code == 303
    assert alice.post("/settings/password", current=PASSWORD, new=NEW, repeated=NEW).status_code == 303
    assert "Password changed" in alice.page("/settings")
    assert other.get("/databases").status_code == 303
    assert other.sign_in("alice@example.com").status_code == 401
    assert other.sign_in("alice@example.com", NEW).status_code == 303


def test_a_password_that_cannot_be_is_explained(alice: Browser) -> None:
    cases = {
        "The current password is wrong.": {"current": "not this one", "new": NEW, "repeated": NEW},
        "This differs from the first.": {"current": PASSWORD, "new": NEW, "repeated": "something else"},
        "Use 8 to 256 characters.": {"current": PASSWORD, "new": "short", "repeated": "short"},
    }
    for message, form in cases.items():
        response = alice.post("/settings/password", **form)
        assert response.status_code == 400
        assert message in response.get_data(as_text=True)


def test_sessions_are_listed_and_ended(session: Session, anonymous: Browser, alice: Browser) -> None:
    other = anonymous
    other.sign_in("alice@example.com")
    page = alice.page("/settings/sessions")
    assert page.count("This browser") == 1
    newest = session.scalars(select(AuthSession).order_by(AuthSession.created_at.desc())).first()
    assert newest is not None
    assert alice.post(f"/settings/sessions/{newest.id}/revoke").status_code == 303
    assert other.get("/databases").status_code == 303


def test_all_other_sessions_are_ended(anonymous: Browser, alice: Browser) -> None:
    other = anonymous
    other.sign_in("alice@example.com")
    alice.post("/settings/sessions/revoke-others")
    assert other.get("/databases").status_code == 303
    assert "1 other session ended" in alice.page("/settings/sessions")


def test_another_user_s_session_cannot_be_ended(session: Session, alice: Browser, bob: Browser) -> None:
    hers = session.scalars(select(AuthSession).join(AuthSession.user).where(AuthSession.user_id == alice.user.id)).one()  # type: ignore[union-attr]
    assert bob.post(f"/settings/sessions/{hers.id}/revoke").status_code == 404
    assert alice.get("/databases").status_code == 200


def test_a_key_is_shown_once(session: Session, alice: Browser) -> None:
    page = alice.post("/settings/api-keys", label="CI", scope="full").get_data(as_text=True)
    [secret] = set(re.findall(r"dbh_[\w-]{40,}", page))
    later = alice.page("/settings/api-keys")
    assert secret not in later
    assert secret[:12] in later
    assert session.scalars(select(ApiKey.label)).all() == ["CI"]


def test_a_key_may_end_by_itself(session: Session, alice: Browser) -> None:
    alice.post("/settings/api-keys", label="CI", scope="full", days="30")
    key = session.scalars(select(ApiKey)).one()
    assert key.expires_at is not None
    assert f"{key.expires_at:%Y-%m-%d}" in alice.page("/settings/api-keys")
    refused = alice.post("/settings/api-keys", label="CI", scope="full", days="99999")
    assert (refused.status_code, "Use 1 to 3650 days." in refused.get_data(as_text=True)) == (400, True)


def test_a_selected_key_names_its_databases(session: Session, alice: Browser, shop: Database) -> None:
    response = alice.post("/settings/api-keys", label="Shop only", scope="selected")
    assert response.status_code == 400
    assert "Name at least one database." in response.get_data(as_text=True)
    alice.post("/settings/api-keys", label="Shop only", scope="selected", databases="shop")
    assert session.scalars(select(ApiKey)).one().database_ids == {shop.id}


def test_another_user_s_database_cannot_be_selected(session: Session, bob: Browser, shop: Database) -> None:
    assert bob.post("/settings/api-keys", label="x", scope="selected", databases="shop").status_code == 400
    assert session.scalars(select(ApiKey)).all() == []


def test_replace_and_revoke(session: Session, alice: Browser) -> None:
    alice.post("/settings/api-keys", label="CI", scope="full")
    first = session.scalars(select(ApiKey)).one()
    page = alice.post(f"/settings/api-keys/{first.id}/replace").get_data(as_text=True)
    assert "shown this once" in page
    second = session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None))).one()
    assert (second.label, second.prefix == first.prefix) == ("CI", False)
    assert alice.post(f"/settings/api-keys/{second.id}/revoke").status_code == 303
    assert "No API keys" in alice.page("/settings/api-keys")


def test_a_stranger_cannot_touch_a_key(session: Session, alice: Browser, bob: Browser) -> None:
    alice.post("/settings/api-keys", label="CI", scope="full")
    key = session.scalars(select(ApiKey)).one()
    for verb in ("replace", "revoke"):
        assert bob.post(f"/settings/api-keys/{key.id}/{verb}").status_code == 404


def test_a_plan_without_the_api_has_no_keys(session: Session, alice: Browser) -> None:
    assert alice.user is not None
    session.merge(alice.user).plan = "free"
    session.commit()
    assert "The Free plan has no API" in alice.page("/settings/api-keys")
    assert alice.post("/settings/api-keys", label="CI", scope="full").status_code == 403
