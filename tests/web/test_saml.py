"""Signing in by SAML, against a provider that signs with a library of its own; and what is refused."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from lxml import etree
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tests.web.conftest import TOKEN, Browser, Outbox
from tests.web.saml_idp import ISSUER, SamlProvider, Saying, encoded, pem, saml_provider, stamp
from tests.web.test_federation import identities
from webapp.models import AuthSession, Identity, User
from webapp.web import providers

SIGN_IN = "/sign-in/saml"
METADATA = "http://localhost/sign-in/saml/metadata"
Forge = Callable[[SamlProvider, Saying], str]


@pytest.fixture
def idp() -> SamlProvider:
    return saml_provider()


@pytest.fixture
def app(app: Flask, idp: SamlProvider, tmp_path: Path) -> Flask:
    """The app of all tests here, with the provider configured and trusted."""
    certificate = tmp_path / "idp.pem"
    certificate.write_text(pem(idp))
    config = app.extensions["dbhost"].settings
    config.saml_issuer, config.saml_url, config.saml_certificate_file = (
        ISSUER,
        "https://idp.example.com/sso",
        certificate,
    )
    config.saml_name, config.saml_trust, config.web_url = "Acme", "all", "http://localhost"
    providers.register(app)
    return app


def leave(browser: Browser, path: str = SIGN_IN) -> str:
    answer = browser.get(path)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return answer.headers["Location"]


def post(browser: Browser, xml: str, **form: str) -> str:
    """As the provider's page posts it: from another site, without this one's cookies. Where it leads."""
    stranger = Browser(browser.client.application.test_client())
    answer = stranger.client.post("/sign-in/saml/acs", data={"SAMLResponse": encoded(xml), **form})
    assert answer.status_code == 303
    assert "Set-Cookie" not in answer.headers
    return answer.headers["Location"]


def land(browser: Browser, address: str) -> str:
    """Where the browser ends up, or the page that it is shown."""
    answer = browser.get(address)
    return answer.headers.get("Location") or answer.get_data(as_text=True)


def sign_in(browser: Browser, idp: SamlProvider, path: str = SIGN_IN, **changes: str) -> str:
    return land(browser, post(browser, idp.signs_assertion(idp.hears(leave(browser, path), **changes))))


def test_it_works(session: Session, anonymous: Browser, idp: SamlProvider) -> None:
    assert "Continue with Acme" in anonymous.page("/sign-in")
    assert sign_in(anonymous, idp) == "/databases"
    assert "Create your first database" in anonymous.page("/databases")
    assert identities(session) == {"s1": "alice@example.com"}


def test_the_whole_response_may_be_signed_instead(session: Session, anonymous: Browser, idp: SamlProvider) -> None:
    answer = idp.signs_response(idp.hears(leave(anonymous)))
    assert land(anonymous, post(anonymous, answer)) == "/databases"


def test_the_request_says_who_asks_and_where_to_answer(anonymous: Browser, idp: SamlProvider) -> None:
    address = leave(anonymous)
    assert address.startswith("https://idp.example.com/sso?SAMLRequest=")
    saying = idp.hears(address)
    assert (saying.audience, saying.recipient) == (METADATA, "http://localhost/sign-in/saml/acs")
    assert "ForceAuthn" not in idp.asked(address).attrib


def test_the_metadata_is_what_a_provider_registers(anonymous: Browser) -> None:
    root = etree.fromstring(anonymous.get("/sign-in/saml/metadata").get_data())
    consumer = root.find(".//{urn:oasis:names:tc:SAML:2.0:metadata}AssertionConsumerService")
    assert consumer is not None
    assert (root.attrib["entityID"], consumer.attrib["Location"]) == (METADATA, "http://localhost/sign-in/saml/acs")


def test_it_leads_back_to_the_page_asked_for_and_nowhere_else(anonymous: Browser, idp: SamlProvider) -> None:
    answer = idp.signs_assertion(idp.hears(leave(anonymous, f"{SIGN_IN}?next=/settings")))
    assert land(anonymous, post(anonymous, answer, RelayState="https://evil.example")) == "/settings"
    assert (
        sign_in(Browser(anonymous.client.application.test_client()), idp, f"{SIGN_IN}?next=//evil.example")
        == "/databases"
    )


def test_a_trusted_address_links_to_the_account_that_has_it(
    session: Session, alice: Browser, anonymous: Browser, idp: SamlProvider
) -> None:
    assert sign_in(anonymous, idp) == "/databases"
    assert identities(session) == {"s1": "alice@example.com"}
    assert len(session.scalars(select(User)).all()) == 1


def test_an_untrusted_address_takes_over_nothing(
    session: Session, app: Flask, alice: Browser, anonymous: Browser, outbox: Outbox, idp: SamlProvider
) -> None:
    app.extensions["dbhost"].settings.saml_trust = "none"
    assert "Look into your mail" in sign_in(anonymous, idp)
    assert identities(session) == {}
    assert "You have one already" in outbox.messages()[-1].get_content()


def test_no_account_where_none_may_be_made(session: Session, app: Flask, anonymous: Browser, idp: SamlProvider) -> None:
    app.extensions["dbhost"].settings.saml_sign_up = False
    assert "none may be made" in sign_in(anonymous, idp)
    assert session.scalars(select(User)).all() == []


def test_the_name_is_the_address_where_it_is_one(session: Session, anonymous: Browser, idp: SamlProvider) -> None:
    is_address = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
    assert sign_in(anonymous, idp, email="", subject="dora@example.com", format=is_address) == "/databases"
    assert identities(session) == {"dora@example.com": "dora@example.com"}


def test_who_has_no_password_confirms_by_the_provider(session: Session, anonymous: Browser, idp: SamlProvider) -> None:
    sign_in(anonymous, idp)
    session.execute(update(AuthSession).values(confirmed_at=func.now() - timedelta(hours=1)))
    session.commit()
    found = TOKEN.search(anonymous.page("/confirm?next=/settings"))
    assert found is not None
    address = leave(anonymous, f"{SIGN_IN}?confirm={found[1]}&next=/settings")
    assert idp.asked(address).attrib["ForceAuthn"] == "true"
    assert land(anonymous, post(anonymous, idp.signs_assertion(idp.hears(address)))) == "/settings"
    [confirmed_at] = session.scalars(select(AuthSession.confirmed_at))
    assert confirmed_at > datetime.now(UTC) - timedelta(minutes=1)


def test_a_second_answer_to_a_request_is_refused(session: Session, anonymous: Browser, idp: SamlProvider) -> None:
    """Also in a browser whose cookie was kept: the request is used up on the server."""
    answer = idp.signs_assertion(idp.hears(leave(anonymous)))
    assert "answer=" in (first := post(anonymous, answer))
    assert post(anonymous, answer).endswith("answer=")
    assert land(anonymous, first) == "/databases"
    assert "did not work" in land(anonymous, first)


def test_an_answer_counts_in_the_browser_that_asked(
    session: Session, app: Flask, anonymous: Browser, idp: SamlProvider
) -> None:
    """An attacker's answer, brought to somebody else's browser, signs nobody in: not even one that asked too."""
    victim = Browser(app.test_client())
    leave(victim)
    address = post(anonymous, idp.signs_assertion(idp.hears(leave(anonymous), subject="mallory")))
    assert "cannot be used" in land(victim, address)
    assert victim.get("/databases").status_code == 303
    assert identities(session) == {}


def unsigned(idp: SamlProvider, saying: Saying) -> str:
    return saying.response(saying.assertion())


def signed_by_another(idp: SamlProvider, saying: Saying) -> str:
    return saml_provider("another").signs_assertion(saying)


def signed_by_another_under_the_right_certificate(idp: SamlProvider, saying: Saying) -> str:
    forged = saml_provider("another")
    return forged.signs_assertion(saying).replace(_body(pem(forged)), _body(pem(idp)))


def changed_afterwards(idp: SamlProvider, saying: Saying) -> str:
    return idp.signs_assertion(saying.but(email="mallory@example.com")).replace("mallory@", "alice@")


def comment_in_the_name(idp: SamlProvider, saying: Saying) -> str:
    """Signed for `alice@example.com.evil.example`; cut by a comment, which some libraries stop reading at."""
    honest = idp.signs_assertion(saying.but(subject="alice@example.com.evil.example"))
    return honest.replace("alice@example.com.evil", "alice@example.com<!---->.evil")


def comment_that_was_signed(idp: SamlProvider, saying: Saying) -> str:
    return idp.signs_assertion(saying.but(subject="s1<!-- -->.evil.example"))


def wrapped_beside(idp: SamlProvider, saying: Saying) -> str:
    """XSW: the signed assertion as it is, and before it a forged one."""
    signed = idp.signed(saying.but(subject="mallory", email="mallory@example.com").assertion(), saying.id)
    return saying.response(saying.but(id="_forged").assertion() + signed)


def wrapped_around(idp: SamlProvider, saying: Saying) -> str:
    """XSW: a forged assertion whose signature is of another one, moved into it."""
    signed = idp.signed(saying.but(subject="mallory", email="mallory@example.com").assertion(), saying.id)
    forged = saying.but(id="_forged").assertion().replace("</saml:Assertion>", f"{signed}</saml:Assertion>")
    return saying.response(forged)


def same_id_twice(idp: SamlProvider, saying: Saying) -> str:
    signed = idp.signed(saying.but(subject="mallory").assertion(), saying.id)
    return saying.response(saying.assertion() + signed)


def an_entity_for_the_name(idp: SamlProvider, saying: Saying) -> str:
    signed = idp.signs_assertion(saying)
    return f'<!DOCTYPE r [<!ENTITY who "alice">]>{signed}'.replace(">s1<", ">&who;<")


@pytest.mark.parametrize(
    "forge",
    [
        unsigned, signed_by_another, signed_by_another_under_the_right_certificate, changed_afterwards,
        comment_in_the_name, comment_that_was_signed, same_id_twice, an_entity_for_the_name,
    ],
)  # fmt: skip
def test_forged(session: Session, anonymous: Browser, idp: SamlProvider, forge: Forge) -> None:
    answer = forge(idp, idp.hears(leave(anonymous)))
    assert "cannot be used" in land(anonymous, post(anonymous, answer))
    assert identities(session) == {}
    assert anonymous.get("/databases").status_code == 303


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("forge", [wrapped_beside, wrapped_around])
def test_of_a_wrapped_answer_only_what_was_signed_is_read(
    session: Session, anonymous: Browser, idp: SamlProvider, forge: Forge
) -> None:
    """What was put around it is as if it were not there."""
    answer = forge(idp, idp.hears(leave(anonymous)))
    land(anonymous, post(anonymous, answer))
    assert identities(session) == {"mallory": "mallory@example.com"}
    assert "alice@example.com" not in anonymous.get("/settings", follow_redirects=True).get_data(as_text=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "https://other.example/metadata"},
        {"issuer": "https://other.example"},
        {"recipient": "https://other.example/acs"},
        {"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"},
        {"valid_until": stamp(-2)},
        {"valid_from": stamp(60)},
        {"presented_until": stamp(-2)},
        {"presented_until": ""},
        {"request_id": ""},
        {"request_id": "_never-asked"},
        {"subject": ""},
        {"format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"},
    ],
)
def test_signed_but_not_for_this(
    session: Session, anonymous: Browser, idp: SamlProvider, changes: dict[str, str]
) -> None:
    assert "cannot be used" in sign_in(anonymous, idp, **changes)
    assert identities(session) == {}


@pytest.mark.parametrize("element", ["Subject", "NameID", "SubjectConfirmation", "SubjectConfirmationData"])
def test_signed_without_a_part(session: Session, anonymous: Browser, idp: SamlProvider, element: str) -> None:
    saying = idp.hears(leave(anonymous))
    part = re.compile(rf"<saml:{element}\b[^>]*?(/>|>.*?</saml:{element}>)", re.DOTALL)
    lacking = part.sub("", saying.assertion(), count=1)
    answer = saying.response(idp.signed(lacking, saying.id))
    assert "cannot be used" in land(anonymous, post(anonymous, answer))
    assert identities(session) == {}


@pytest.mark.parametrize("posted", ["", "!", "AAAA", encoded("<a/>"), encoded("<a"), encoded("<a>\x00</a>"), "é"])
def test_rubbish(anonymous: Browser, posted: str) -> None:
    leave(anonymous)
    answer = Browser(anonymous.client.application.test_client()).client.post(
        "/sign-in/saml/acs", data={"SAMLResponse": posted}
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in/saml/callback?answer=")
    assert anonymous.get(answer.headers["Location"]).status_code == 401


def test_an_openid_subject_of_the_same_issuer_is_somebody_else(
    session: Session, anonymous: Browser, idp: SamlProvider
) -> None:
    sign_in(anonymous, idp)
    [issuer] = {identity.issuer for identity in session.scalars(select(Identity))}
    assert issuer == f"saml:{ISSUER}"


@pytest.mark.parametrize("wrong", ["address", "certificate"])
def test_settings_that_make_no_sense_are_refused(app: Flask, wrong: str) -> None:
    config = app.extensions["dbhost"].settings
    if wrong == "address":
        config.saml_url = "http://idp.example.com/sso"
    else:
        config.saml_certificate_file.write_text("no certificate")
    with pytest.raises(providers.ProviderError, match="https" if wrong == "address" else "certificate"):
        providers.register(app)


def _body(text: str) -> str:
    """A certificate's base64 as signxml writes it into a signature."""
    return text.partition("-----\n")[2].partition("\n-----")[0]
