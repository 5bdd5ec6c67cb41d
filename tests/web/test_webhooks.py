"""Webhook endpoints in the settings: the whole way of one, what a form refuses, and what is nobody else's."""

import re

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from tests.web.conftest import Browser
from webapp.gateways.outgoing import Answer
from webapp.models import WebhookDelivery, WebhookEndpoint
from webapp.services import webhook_deliveries

URL = "https://example.com/hook"
SECRET = re.compile(r"whsec_[\w+/=]+")


def add(browser: Browser, session: Session, url: str = URL) -> WebhookEndpoint:
    page = browser.post("/settings/webhooks", url=url, events=["backup.failed", "database.created"])
    assert page.status_code == 200
    return session.scalars(select(WebhookEndpoint).where(WebhookEndpoint.url == url)).one()


def carry_out(session: Session, answer: Answer) -> None:
    """What the courier does, without the network."""
    session.rollback()
    parcel = webhook_deliveries.take(session)
    assert parcel is not None
    assert webhook_deliveries.finish(session, parcel, answer)
    session.commit()


def test_it_works(alice: Browser, session: Session) -> None:
    assert "No endpoints" in alice.page("/settings/webhooks")
    shown = alice.post("/settings/webhooks", url=URL, events=["backup.failed"]).get_data(as_text=True)
    [secret] = set(SECRET.findall(shown))
    endpoint = session.scalars(select(WebhookEndpoint)).one()
    path = f"/settings/webhooks/{endpoint.id}"
    assert secret not in alice.page("/settings/webhooks") + alice.page(path)
    assert "Nothing was sent yet" in alice.page(path)
    assert alice.post(f"{path}/test").status_code == 303
    session.rollback()
    parcel = webhook_deliveries.take(session)
    assert parcel is not None
    Webhook(secret).verify(parcel.body.decode(), parcel.headers())
    session.rollback()
    carry_out(session, Answer(500, "Answered 500.", 31, "<b>Oh</b>"))
    assert "Answered 500." in alice.page(path)
    delivery = session.scalars(select(WebhookDelivery)).unique().one()
    message = alice.page(f"{path}/deliveries/{delivery.id}")
    for words in ("webhook.test", delivery.message_id, "&lt;b&gt;Oh&lt;/b&gt;", "31 ms", "A test from DBHost"):
        assert words in message
    again = alice.post(f"{path}/deliveries/{delivery.id}/resend")
    assert again.status_code == 303
    assert again.headers["Location"] != f"{path}/deliveries/{delivery.id}"
    carry_out(session, Answer(204, None, 8))
    assert "Delivered" in alice.page(path)


def test_change_disable_enable_rotate_delete(alice: Browser, session: Session) -> None:
    endpoint = add(alice, session)
    path = f"/settings/webhooks/{endpoint.id}"
    assert alice.post(path, url=f"{URL}/2", events=["database.deleted"]).status_code == 303
    session.refresh(endpoint)
    assert (endpoint.url, endpoint.events) == (f"{URL}/2", ["database.deleted"])
    assert alice.post(f"{path}/disable").status_code == 303
    assert "This endpoint is disabled" in alice.page(path)
    assert alice.post(f"{path}/test").status_code == 303
    assert "This endpoint is disabled. Enable it first." in alice.page(path)
    assert alice.post(f"{path}/enable").status_code == 303
    assert SECRET.search(alice.post(f"{path}/rotate").get_data(as_text=True))
    session.refresh(endpoint)
    assert endpoint.previous_secret_until is not None
    alice.post(f"{path}/rotate", end_old="1")
    session.refresh(endpoint)
    assert endpoint.previous_secret_until is None
    assert "Delete this endpoint?" in alice.page(f"{path}/delete")
    assert alice.post(f"{path}/delete").status_code == 303
    assert session.scalar(select(WebhookEndpoint.id)) is None


@pytest.mark.parametrize(
    ("url", "events", "words"),
    [
        ("http://example.com/", ["backup.failed"], "Use an https address."),
        ("https://127.0.0.1/", ["backup.failed"], "not on the public internet"),
        ("https://u:p@example.com/", ["backup.failed"], "must not hold a user"),
        (URL, [], "Choose at least one event."),
        (URL, ["host.unhealthy"], "No such event: host.unhealthy."),
    ],
)
def test_a_form_that_breaks_a_rule_says_which(alice: Browser, url: str, events: list[str], words: str) -> None:
    response = alice.post("/settings/webhooks", url=url, events=events)
    assert response.status_code == 400
    assert words in response.get_data(as_text=True)


def test_only_platform_admins_hear_of_hosts(alice: Browser, root: Browser) -> None:
    assert "host.unhealthy" not in alice.page("/settings/webhooks")
    assert root.post("/settings/webhooks", url=URL, events=["host.unhealthy"]).status_code == 200


def test_there_is_an_end_to_them(alice: Browser, session: Session) -> None:
    for number in range(10):
        add(alice, session, f"{URL}/{number}")
    response = alice.post("/settings/webhooks", url=URL, events=["backup.failed"])
    assert response.status_code == 409
    assert "10 endpoints already" in response.get_data(as_text=True)


def test_a_secret_wants_a_recent_sign_in(alice: Browser, session: Session) -> None:
    endpoint = add(alice, session)
    session.execute(text("UPDATE auth_sessions SET confirmed_at = now() - interval '1 day'"))
    session.commit()
    for path in ("/settings/webhooks", f"/settings/webhooks/{endpoint.id}/rotate"):
        response = alice.post(path, url=URL, events=["backup.failed"])
        assert response.headers["Location"].startswith("/confirm")


def test_an_endpoint_is_its_owner_s_alone(alice: Browser, bob: Browser, root: Browser, session: Session) -> None:
    endpoint, own = add(alice, session), add(bob, session, f"{URL}/bob")
    alice.post(f"/settings/webhooks/{endpoint.id}/test")
    delivery = session.scalars(select(WebhookDelivery)).unique().one()
    for browser in (bob, root):
        assert browser.get(f"/settings/webhooks/{endpoint.id}").status_code == 404
        assert browser.get(f"/settings/webhooks/{endpoint.id}/deliveries/{delivery.id}").status_code == 404
    assert bob.get(f"/settings/webhooks/{own.id}/deliveries/{delivery.id}").status_code == 404
    assert bob.post(f"/settings/webhooks/{own.id}/deliveries/{delivery.id}/resend").status_code == 404
