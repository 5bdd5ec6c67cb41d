"""Google and GitHub, against stand-ins that speak as they do."""

import base64
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy.orm import Session

from tests.web.conftest import Browser, Outbox
from tests.web.provider import Provider, github, openid
from tests.web.test_federation import identities, leave
from webapp.web import providers

UNVERIFIED = {"email": "alice@example.com", "primary": True, "verified": False}


@pytest.fixture(scope="module")
def shared_google() -> Iterator[Provider]:
    with openid().running() as running:
        yield running


@pytest.fixture
def google(app: Flask, shared_google: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """An OpenID provider at Google's place; `hd` is there for people of a Workspace alone."""
    monkeypatch.setattr(providers, "GOOGLE", shared_google.issuer)
    config = app.extensions["dbhost"].settings
    config.google_client_id, config.google_client_secret = "dbhost", SecretStr("s3cret")
    config.web_url = "http://localhost"
    providers.register(app)
    shared_google.asked.clear()
    return shared_google


def come_back(browser: Browser, google: Provider, subject: str) -> Any:
    return browser.get(google.consent(leave(browser, "/sign-in/google"), subject))


@pytest.mark.usefixtures("alice")
def test_google_signs_a_workspace_s_user_in(session: Session, anonymous: Browser, google: Provider) -> None:
    google.is_told("g1", email="alice@example.com", email_verified=True, hd="example.com")
    assert "Continue with Google" in anonymous.page("/sign-in")
    assert come_back(anonymous, google, "g1").headers["Location"] == "/databases"
    assert identities(session) == {"g1": "alice@example.com"}
    asked = google.of_path("/oauth2/authorize")
    assert asked["code_challenge_method"] == "S256"
    assert asked["nonce"]
    assert set(asked["scope"].split()) == {"openid", "email", "profile"}


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    "claims", [{"email_verified": True}, {"email_verified": False, "hd": "example.com"}, {"hd": "example.com"}]
)
def test_google_does_not_vouch_for_what_it_does_not_host(
    session: Session, anonymous: Browser, google: Provider, outbox: Outbox, claims: dict[str, Any]
) -> None:
    google.is_told("g2", email="alice@example.com", **claims)
    assert come_back(anonymous, google, "g2").status_code == 200
    assert anonymous.get("/databases").status_code == 303
    assert identities(session) == {}
    assert outbox.messages()[-1]["To"] == "alice@example.com"


def test_google_s_own_addresses_need_no_domain(
    session: Session, app: Flask, anonymous: Browser, google: Provider
) -> None:
    google.is_told("g3", email="carol@gmail.com", email_verified=True)
    assert come_back(anonymous, google, "g3").status_code == 403
    app.extensions["dbhost"].settings.sign_up = "open"
    assert come_back(anonymous, google, "g3").headers["Location"] == "/databases"
    assert identities(session) == {"g3": "carol@gmail.com"}


def test_github(session: Session, app: Flask, alice: Browser, anonymous: Browser) -> None:
    with github().running() as hub:
        use(app, hub)
        assert "Continue with GitHub" in anonymous.page("/sign-in")
        answer = anonymous.get(hub.consent(leave(anonymous, "/sign-in/github"), "ignored"))
        assert answer.headers["Location"] == "/databases"
        exchanged, asked = hub.of_path("/login/oauth/access_token"), hub.of_path("/login/oauth/authorize")
        digest = base64.urlsafe_b64encode(sha256(exchanged["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        assert digest == asked["code_challenge"]
    assert identities(session) == {"583231": "alice@example.com"}


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(("primary", "status"), [(UNVERIFIED, 200), (None, 401)])
def test_github_without_a_verified_address(
    session: Session, app: Flask, anonymous: Browser, primary: dict[str, Any] | None, status: int
) -> None:
    with github(primary).running() as hub:
        use(app, hub)
        answer = anonymous.get(hub.consent(leave(anonymous, "/sign-in/github"), "ignored"))
        assert answer.status_code == status, answer.get_data(as_text=True)
    assert anonymous.get("/databases").status_code == 303
    assert identities(session) == {}


def use(app: Flask, hub: Provider) -> None:
    config = app.extensions["dbhost"].settings
    config.github_client_id, config.github_url, config.web_url = "x", hub.issuer, "http://localhost"
    providers.register(app)
