"""Signing in by an identity provider: the whole code flow against one from a package."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tests.web.conftest import TOKEN, Browser, Outbox
from tests.web.provider import Provider, openid, parameters
from webapp import courier
from webapp.models import AuditEvent, AuthSession, Identity, User
from webapp.web import providers


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[Provider]:
    """One for all tests: making its RSA key takes longer than a test."""
    with openid().running() as running:
        yield running


@pytest.fixture
def provider(shared_provider: Provider) -> Provider:
    shared_provider.asked.clear()
    shared_provider.is_told("s1", email="alice@example.com", email_verified=True)
    return shared_provider


@pytest.fixture
def app(app: Flask, provider: Provider) -> Flask:
    """The app of all tests here, with the provider configured."""
    config = app.extensions["dbhost"].settings
    config.oidc_issuer, config.oidc_client_id, config.oidc_name = provider.issuer, "dbhost", "Acme"
    config.oidc_client_secret, config.web_url = SecretStr("s3cret"), "http://localhost"
    providers.register(app)
    return app


def leave(browser: Browser, path: str = "/sign-in/oidc") -> str:
    """Start at the dashboard; the provider's address that it leads to."""
    answer = browser.get(path)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return answer.headers["Location"]


def sign_in(browser: Browser, provider: Provider, subject: str = "s1") -> str:
    """The whole way; where the browser lands."""
    answer = browser.get(provider.consent(leave(browser), subject))
    return answer.headers.get("Location") or answer.get_data(as_text=True)


def identities(session: Session) -> dict[str, str]:
    query = select(Identity.subject, User.email).join(User, User.id == Identity.user_id)
    return {row.subject: row.email for row in session.execute(query)}


def test_it_works(session: Session, anonymous: Browser, provider: Provider) -> None:
    assert "Continue with Acme" in anonymous.page("/sign-in")
    assert sign_in(anonymous, provider) == "/databases"
    assert "Create your first database" in anonymous.page("/databases")
    assert identities(session) == {"s1": "alice@example.com"}
    [event] = session.scalars(select(AuditEvent).where(AuditEvent.action == "user.sign_in"))
    assert event.details == {"method": "oidc"}


def test_with_pkce_state_and_nonce(anonymous: Browser, provider: Provider) -> None:
    asked = parameters(leave(anonymous))
    assert asked["code_challenge_method"] == "S256"
    assert {"state", "nonce"} <= asked.keys()
    sign_in(anonymous, provider)
    authorized, exchanged = provider.of_path("/oauth2/authorize"), provider.of_path("/oauth2/token")
    digest = base64.urlsafe_b64encode(sha256(exchanged["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert digest == authorized["code_challenge"]
    assert exchanged["redirect_uri"] == "http://localhost/sign-in/oidc/callback"


def test_it_leads_back_to_the_page_asked_for(anonymous: Browser, provider: Provider) -> None:
    address = leave(anonymous, "/sign-in/oidc?next=/settings")
    assert anonymous.get(provider.consent(address, "s1")).headers["Location"] == "/settings"
    elsewhere = leave(Browser(anonymous.client), "/sign-in/oidc?next=//evil.example")
    assert anonymous.get(provider.consent(elsewhere, "s1")).headers["Location"] == "/databases"


def test_an_answer_works_once_and_in_its_own_browser(app: Flask, anonymous: Browser, provider: Provider) -> None:
    path = provider.consent(leave(anonymous), "s1")
    assert Browser(app.test_client()).get(path).status_code == 401
    assert anonymous.get(path).status_code == 303
    assert Browser(anonymous.client).get(path).status_code == 401


def test_a_changed_state_is_refused(session: Session, anonymous: Browser, provider: Provider) -> None:
    path = provider.consent(leave(anonymous), "s1")
    assert anonymous.get(path.replace("state=", "state=x")).status_code == 401
    assert session.scalars(select(User)).all() == []


def test_another_sign_in_s_nonce_is_refused(session: Session, anonymous: Browser, provider: Provider) -> None:
    """A code made for another request: its ID token carries that one's nonce."""
    mine, other = leave(anonymous), leave(Browser(anonymous.client.application.test_client()))
    nonce = {"mine": parameters(mine)["nonce"], "other": parameters(other)["nonce"]}
    path = provider.consent(mine.replace(nonce["mine"], nonce["other"]), "s1")
    assert anonymous.get(path).status_code == 401
    assert session.scalars(select(User)).all() == []


def test_who_cancels_is_told(anonymous: Browser, provider: Provider) -> None:
    answer = anonymous.get(provider.refuse(leave(anonymous)))
    assert "was cancelled" in answer.get_data(as_text=True)


def test_a_provider_that_is_away(app: Flask, anonymous: Browser) -> None:
    app.extensions["dbhost"].settings.oidc_issuer = "http://127.0.0.1:9"
    providers.register(app)
    answer = anonymous.get("/sign-in/oidc")
    assert (answer.status_code, "cannot be reached" in answer.get_data(as_text=True)) == (401, True)


def test_a_verified_address_links_to_the_account_that_has_it(
    session: Session, alice: Browser, anonymous: Browser, provider: Provider
) -> None:
    sign_in(anonymous, provider)
    assert identities(session) == {"s1": "alice@example.com"}
    assert len(session.scalars(select(User)).all()) == 1


def test_the_account_follows_the_address_when_the_subject_changes(
    session: Session, app: Flask, anonymous: Browser, provider: Provider
) -> None:
    sign_in(anonymous, provider)
    [user] = session.scalars(select(User))
    provider.is_told("s2", email="alice@example.com", email_verified=True)
    again = Browser(app.test_client())
    assert sign_in(again, provider, "s2") == "/databases"
    assert "alice@example.com" in again.page("/settings")
    assert identities(session) == {"s2": "alice@example.com"}
    assert session.scalars(select(User.id)).all() == [user.id]
    assert anonymous.get("/databases").status_code == 303


def test_the_subject_counts_when_the_address_changes(
    session: Session, app: Flask, anonymous: Browser, provider: Provider
) -> None:
    sign_in(anonymous, provider)
    provider.is_told("s1", email="other@example.com", email_verified=True)
    assert sign_in(Browser(app.test_client()), provider) == "/databases"
    assert identities(session) == {"s1": "alice@example.com"}


@pytest.mark.parametrize("claims", [{"email_verified": False}, {}, {"email_verified": "true"}])
def test_an_unverified_address_takes_over_nothing(
    session: Session, alice: Browser, anonymous: Browser, outbox: Outbox, provider: Provider, claims: dict[str, object]
) -> None:
    provider.is_told("thief", email="alice@example.com", **claims)
    assert "Look into your mail" in sign_in(anonymous, provider, "thief")
    assert identities(session) == {}
    assert anonymous.get("/databases").status_code == 303
    assert "You have one already" in outbox.messages()[-1].get_content()


def test_an_unverified_address_is_proven_by_mail(
    session: Session, anonymous: Browser, outbox: Outbox, provider: Provider
) -> None:
    provider.is_told("s3", email="dora@example.com")
    assert "Look into your mail" in sign_in(anonymous, provider, "s3")
    assert session.scalars(select(User)).all() == []
    token = outbox.link().partition("token=")[2]
    form = {"token": token, "password": "another good password", "repeated": "another good password"}
    assert anonymous.post("/sign-up/finish", **form).status_code == 303
    assert identities(session) == {"s3": "dora@example.com"}


@pytest.mark.parametrize(("trust", "linked"), [("none", {}), ("all", {"s4": "alice@example.com"})])
def test_the_operator_says_how_far_the_issuer_is_trusted(
    session: Session, app: Flask, alice: Browser, anonymous: Browser, outbox: Outbox, provider: Provider,
    trust: str, linked: dict[str, str],
) -> None:  # fmt: skip
    app.extensions["dbhost"].settings.oidc_trust = trust
    provider.is_told("s4", email="alice@example.com", email_verified=trust == "none")
    sign_in(anonymous, provider, "s4")
    assert identities(session) == linked
    courier.of(app.extensions["dbhost"]).send_mails()


def test_no_account_where_none_may_be_made(
    session: Session, app: Flask, anonymous: Browser, provider: Provider
) -> None:
    app.extensions["dbhost"].settings.oidc_sign_up = False
    assert "none may be made" in sign_in(anonymous, provider)
    assert session.scalars(select(User)).all() == []


def test_a_banned_user_stays_out(session: Session, app: Flask, anonymous: Browser, provider: Provider) -> None:
    sign_in(anonymous, provider)
    session.execute(update(User).values(state="banned"))
    session.commit()
    assert "cannot sign in" in sign_in(Browser(app.test_client()), provider)
    assert anonymous.get("/databases").status_code == 303


def link_address(browser: Browser) -> str:
    found = TOKEN.search(browser.page("/settings/security"))
    assert found is not None
    return f"/sign-in/oidc?link={found[1]}"


def test_linking_while_signed_in(session: Session, bob: Browser, app: Flask, provider: Provider) -> None:
    provider.is_told("s5", email="somebody@else.example")
    answer = bob.get(provider.consent(leave(bob, link_address(bob)), "s5"))
    assert answer.headers["Location"] == "/settings/security"
    assert identities(session) == {"s5": "bob@example.com"}
    assert "somebody@else.example" in bob.page("/settings/security")
    assert sign_in(Browser(app.test_client()), provider, "s5") == "/databases"


def test_linking_starts_on_a_page_of_ours(bob: Browser, anonymous: Browser) -> None:
    assert bob.get("/sign-in/oidc?link=guessed").status_code == 400
    assert anonymous.get("/sign-in/oidc?link=guessed").status_code == 401


def test_another_account_s_identity_is_not_taken(
    session: Session, alice: Browser, bob: Browser, anonymous: Browser, provider: Provider
) -> None:
    sign_in(anonymous, provider)
    bob.get(provider.consent(leave(bob, link_address(bob)), "s1"))
    assert "belongs to another account" in bob.page("/settings/security")
    assert identities(session) == {"s1": "alice@example.com"}


def test_unlinking_never_takes_the_last_way_in(
    session: Session, alice: Browser, bob: Browser, anonymous: Browser, provider: Provider
) -> None:
    provider.is_told("s6", email="new@example.com", email_verified=True)
    sign_in(anonymous, provider, "s6")
    sign_in(Browser(alice.client), provider)
    ids = {identity.subject: identity.id for identity in session.scalars(select(Identity))}
    refused = anonymous.post(f"/settings/security/identities/{ids['s6']}/unlink")
    assert (refused.status_code, "your only way in" in refused.get_data(as_text=True)) == (409, True)
    assert bob.post(f"/settings/security/identities/{ids['s1']}/unlink").status_code == 404
    assert alice.post(f"/settings/security/identities/{ids['s1']}/unlink").status_code == 303
    assert identities(session) == {"s6": "new@example.com"}


def test_who_has_no_password_confirms_by_the_provider(session: Session, anonymous: Browser, provider: Provider) -> None:
    sign_in(anonymous, provider)
    session.execute(update(AuthSession).values(confirmed_at=func.now() - timedelta(hours=1)))
    session.commit()
    assert anonymous.post("/settings/email", email="x@example.com").headers["Location"].startswith("/confirm")
    page = anonymous.page("/confirm?next=/settings")
    assert "Confirm with Acme" in page
    found = TOKEN.search(page)
    assert found is not None
    address = leave(anonymous, f"/sign-in/oidc?confirm={found[1]}&next=/settings")
    assert parameters(address)["prompt"] == "login"
    assert anonymous.get(provider.consent(address, "s1")).headers["Location"] == "/settings"
    assert anonymous.post("/settings/email", email="x@example.com").headers["Location"] == "/settings"


@pytest.mark.parametrize(("age_s", "lands"), [(3600, 401), (None, 401), (0, 303)])
def test_an_old_sign_in_at_the_provider_confirms_nothing(
    anonymous: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch, age_s: int | None, lands: int
) -> None:
    """One that ignores `prompt` and `max_age` and only looks at its own cookie, or does not say when it asked."""
    sign_in(anonymous, provider)
    found = TOKEN.search(anonymous.page("/confirm"))
    assert found is not None
    path = provider.consent(leave(anonymous, f"/sign-in/oidc?confirm={found[1]}&next=/settings"), "s1")
    known = providers._from_oidc

    def older(*given: Any) -> dict[str, Any]:
        told = known(*given)
        assert isinstance(told["auth_time"], int)
        return told | {"auth_time": told["auth_time"] - age_s if age_s is not None else None}

    monkeypatch.setattr(providers, "_from_oidc", older)
    assert anonymous.get(path).status_code == lands


def test_sign_ins_that_are_begun_and_left_do_not_fill_the_cookie(anonymous: Browser, provider: Provider) -> None:
    """Browsers drop a cookie past 4 kB, and with it the token of every form."""
    for number in range(12):
        address = leave(anonymous, f"/sign-in/oidc?next=/{'long' * 240}{number}")
        cookie = anonymous.client.get_cookie("dbhost_form_8000")
        assert cookie is not None
        assert len(cookie.key) + len(cookie.value) < 3900, number
    assert anonymous.get(provider.consent(address, "s1")).headers["Location"].endswith("11")


def test_a_page_to_go_back_to_has_a_length(anonymous: Browser, provider: Provider) -> None:
    address = leave(anonymous, f"/sign-in/oidc?next=/{'x' * 6000}")
    assert anonymous.get(provider.consent(address, "s1")).headers["Location"] == "/databases"


def test_somebody_else_s_identity_confirms_nothing(session: Session, anonymous: Browser, provider: Provider) -> None:
    sign_in(anonymous, provider)
    provider.is_told("s7", email="eve@example.com", email_verified=True)
    found = TOKEN.search(anonymous.page("/confirm"))
    assert found is not None
    path = provider.consent(leave(anonymous, f"/sign-in/oidc?confirm={found[1]}"), "s7")
    assert anonymous.get(path).status_code == 401


def test_an_issuer_without_tls_is_refused(app: Flask) -> None:
    app.extensions["dbhost"].settings.oidc_issuer = "http://sso.example.com"
    with pytest.raises(providers.ProviderError, match="https"):
        providers.register(app)


def test_an_admin_who_only_looks_links_and_confirms_nothing(alice: Browser, root: Browser) -> None:
    assert alice.user is not None
    assert root.post(f"/admin/users/{alice.user.id}/view").status_code == 303
    found = TOKEN.search(root.page("/settings/security"))
    assert found is not None
    for purpose in ("link", "confirm"):
        assert root.get(f"/sign-in/oidc?{purpose}={found[1]}").status_code == 403
    assert root.get("/passkeys/create-options").status_code == 403
    assert root.post("/confirm/passkey", credential="{}").status_code == 403
