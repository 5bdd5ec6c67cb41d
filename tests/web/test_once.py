"""Forms that make something, sent twice: one thing is made, and both answers are the same."""

import re
import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.web.conftest import Browser
from webapp.models import ApiKey, AuthSession, Backup, Database, Invitation, SubmittedForm, WebhookEndpoint
from webapp.services import submitted_forms
from webapp.web import once as once_module

TOKEN = re.compile(r'name="form_token" value="(\w+)"')
FORMS = {
    "database": ("/databases", Database, {"display_name": "Another"}),
    "clone": ("/databases/{id}/clone", Database, {"display_name": "A copy"}),
    "API key": ("/settings/api-keys", ApiKey, {"label": "deploy"}),
    "webhook": ("/settings/webhooks", WebhookEndpoint, {"url": "https://example.com/hook", "events": "backup.failed"}),
    "invitation": ("/databases/{id}/invitations", Invitation, {"email": "dora@example.com", "level": "viewer"}),
    "backup": ("/databases/{id}/backups", Backup, {}),
}


def count(session: Session, model: Any) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0


def plain(response: TestResponse) -> str:
    """The page without what is another one's each time."""
    return re.sub(r'nonce="[^"]*"|nonce=[^&"]*', "", response.get_data(as_text=True))


@pytest.mark.parametrize("name", FORMS)
def test_sent_twice(session: Session, alice: Browser, shop: Database, name: str) -> None:
    path, model, typed = FORMS[name]
    before = count(session, model)
    form = {"form_token": once_module.form_token(), **typed}
    first, second = (alice.post(path.format(id=shop.id), **form) for _ in range(2))
    assert first.status_code in (200, 303), plain(first)
    assert count(session, model) == before + 1
    assert (second.status_code, second.headers.get("Location")) == (first.status_code, first.headers.get("Location"))
    assert plain(second) == plain(first)


def test_the_page_that_is_shown_again_has_its_scripts(alice: Browser) -> None:
    form = {"form_token": once_module.form_token(), "label": "deploy"}
    alice.post("/settings/api-keys", **form)
    again = alice.post("/settings/api-keys", **form)
    policy = re.search(r"'nonce-([^']+)'", again.headers["Content-Security-Policy"])
    assert policy is not None
    assert set(re.findall(r'<script[^>]* nonce="([^"]+)"', again.get_data(as_text=True))) == {policy[1]}


def test_a_double_click_makes_one(app: Flask, session: Session, alice: Browser) -> None:
    token, form = alice.token(), {"form_token": once_module.form_token(), "display_name": "Clicked"}
    cookies = alice.client.get_cookie("dbhost_session") or next(iter(alice.client._cookies.values()))
    answers: list[str | None] = []

    def click() -> None:
        client = app.test_client()
        client._cookies = dict(alice.client._cookies)
        answers.append(client.post("/databases", data={"csrf_token": token, **form}).headers.get("Location"))

    assert cookies is not None
    clicks = [threading.Thread(target=click) for _ in range(3)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert count(session, Database) == 1
    assert len(set(answers)) == 1
    assert answers[0] is not None


def test_what_is_typed_otherwise_is_another(session: Session, alice: Browser) -> None:
    token = once_module.form_token()
    for name in ("One", "Two"):
        alice.post("/databases", form_token=token, display_name=name)
    assert count(session, Database) == 2


def test_what_was_refused_can_be_sent_again(session: Session, alice: Browser) -> None:
    assert alice.user is not None
    token, user = once_module.form_token(), session.merge(alice.user)
    plan, user.plan = user.plan, "free"
    session.commit()
    alice.post("/databases", display_name="First")
    assert alice.post("/databases", form_token=token, display_name="More").status_code == 403
    user.plan = plan
    session.commit()
    assert alice.post("/databases", form_token=token, display_name="More").status_code == 303
    assert count(session, Database) == 2


def test_another_session_gets_nothing_of_it(session: Session, alice: Browser, bob: Browser) -> None:
    token = once_module.form_token()
    first, second = (who.post("/settings/api-keys", form_token=token, label="deploy") for who in (alice, bob))
    assert plain(first) != plain(second)
    assert count(session, ApiKey) == 2


def test_a_secret_is_shown_again_only_to_who_has_confirmed_lately(session: Session, alice: Browser) -> None:
    form = {"form_token": once_module.form_token(), "label": "deploy"}
    alice.post("/settings/api-keys", **form)
    session.execute(update(AuthSession).values(confirmed_at=func.now() - func.make_interval(0, 0, 0, 1)))
    session.commit()
    assert "/confirm" in alice.post("/settings/api-keys", **form).headers["Location"]


def test_answers_are_sealed_and_forgotten(session: Session, alice: Browser) -> None:
    page = alice.post("/settings/api-keys", form_token=once_module.form_token(), label="deploy").get_data(as_text=True)
    secret = re.search(r"dbh_\w+", page)
    row = session.scalars(select(SubmittedForm)).one()
    assert secret is None or secret[0].encode() not in (row.answer_encrypted or b"")
    row.expires_at = func.now() - func.make_interval(0, 0, 0, 1)
    session.commit()
    submitted_forms.purge_expired(session)
    session.commit()
    assert count(session, SubmittedForm) == 0


def test_every_form_of_a_page_has_a_token_of_its_own(alice: Browser, shop: Database) -> None:
    page = alice.page(f"/databases/{shop.id}")
    tokens = TOKEN.findall(page)
    assert len(tokens) == page.count('name="csrf_token"') > 1
    assert len(set(tokens)) == len(tokens)
