"""Signing in and out, and what a session is worth."""

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.web.conftest import PASSWORD, TOKEN, Browser
from webapp.models import AuditEvent, AuthSession


def test_it_works(alice: Browser) -> None:
    assert "Create your first database" in alice.page("/databases")


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(alice: Browser) -> None:
    cookie = alice.client.get_cookie("dbhost_session_8000")
    assert cookie is not None
    assert cookie.http_only
    assert cookie.same_site == "Lax"


def test_over_https_the_cookie_is_pinned_to_the_host(app: Flask, alice: Browser, anonymous: Browser) -> None:
    app.extensions["dbhost"].settings.web_url = "https://db.example.com"
    options = {"base_url": "https://db.example.com", "headers": {"Referer": "https://db.example.com/sign-in"}}
    page = anonymous.get("/sign-in", base_url="https://db.example.com").get_data(as_text=True)
    form = {"csrf_token": TOKEN.findall(page)[0], "email": "alice@example.com", "password": PASSWORD}
    cookies = anonymous.client.post("/sign-in", data=form, **options).headers.getlist("Set-Cookie")
    [cookie] = [cookie for cookie in cookies if cookie.startswith("__Host-dbhost=")]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_each_sign_in_has_a_new_id(alice: Browser) -> None:
    before = alice.client.get_cookie("dbhost_session_8000")
    alice.post("/sign-out")
    alice.sign_in("alice@example.com")
    after = alice.client.get_cookie("dbhost_session_8000")
    assert before is not None
    assert after is not None
    assert before.value != after.value


def test_a_wrong_password_and_an_unknown_user_read_the_same(alice: Browser, anonymous: Browser) -> None:
    wrong = anonymous.sign_in("alice@example.com", "not the password")
    unknown = anonymous.sign_in("nobody@example.com", "not the password")
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    text = wrong.get_data(as_text=True)
    assert "The e-mail or the password is wrong." in text
    assert text.count("\n") == unknown.get_data(as_text=True).count("\n")
    assert anonymous.client.get_cookie("dbhost_session_8000") is None


def test_a_banned_user_cannot_sign_in_and_is_out_at_once(session: Session, alice: Browser, anonymous: Browser) -> None:
    assert alice.user is not None
    session.merge(alice.user).state = "banned"
    session.commit()
    assert alice.get("/databases").status_code == 303
    assert anonymous.sign_in("alice@example.com").status_code == 401


def test_without_the_csrf_token_it_is_refused(alice: Browser, anonymous: Browser) -> None:
    form = {"email": "alice@example.com", "password": PASSWORD}
    assert anonymous.client.post("/sign-in", data=form).status_code == 400
    assert anonymous.client.get_cookie("dbhost_session_8000") is None


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_it_leads_to_no_other_site(alice: Browser, anonymous: Browser, wanted: str) -> None:
    response = anonymous.post("/sign-in", email="alice@example.com", password=PASSWORD, next=wanted)
    assert response.headers["Location"] == "/databases"


def test_it_leads_back_to_the_page_asked_for(alice: Browser, anonymous: Browser) -> None:
    response = anonymous.get("/databases?search=shop")
    assert response.headers["Location"] == "/sign-in?next=/databases?search%3Dshop"
    response = anonymous.post("/sign-in", email="alice@example.com", password=PASSWORD, next="/databases?search=shop")
    assert response.headers["Location"] == "/databases?search=shop"


def test_failed_attempts_are_limited(app: Flask, alice: Browser, anonymous: Browser) -> None:
    app.extensions["dbhost"].settings.sign_in_rate = "3 per minute"
    statuses = [anonymous.sign_in("alice@example.com", "wrong password").status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    refused = anonymous.sign_in("alice@example.com")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "Too many requests" in refused.get_data(as_text=True)


def test_signing_out_ends_the_session_on_the_server(session: Session, alice: Browser) -> None:
    cookie = alice.client.get_cookie("dbhost_session_8000")
    assert cookie is not None
    assert alice.post("/sign-out").status_code == 303
    alice.client.set_cookie("dbhost_session_8000", cookie.value)
    assert alice.get("/databases").headers["Location"].startswith("/sign-in")
    assert session.scalars(select(AuthSession)).one().revoked_at is not None
    assert "user.revoke_session" in session.scalars(select(AuditEvent.action)).all()


def test_a_revoked_session_is_refused(session: Session, alice: Browser) -> None:
    session.scalars(select(AuthSession)).one().revoked_at = AuthSession.created_at
    session.commit()
    assert alice.get("/databases").status_code == 303
    part = alice.get("/databases", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/sign-in")
    assert alice.client.post("/databases", data={"display_name": "Shop"}).status_code == 401


def test_a_signed_in_visitor_has_no_use_for_the_form(alice: Browser) -> None:
    assert alice.get("/sign-in").headers["Location"] == "/databases"
