"""The second step of a sign-in: codes of an app, each once, and recovery codes."""

import re
import time

import pyotp
import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tests.web.conftest import Browser, Outbox
from webapp.cli.main import main
from webapp.models import AuditEvent, OneTimeToken, RecoveryCode, TotpSecret

SECRET = re.compile(r'<p class="mono">([A-Z2-7]{32})</p>')
CODE = re.compile(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>")


def turn_on(browser: Browser) -> tuple[pyotp.TOTP, list[str]]:
    """Add an app as a person does; the app and the recovery codes."""
    page = browser.post("/settings/security/totp").get_data(as_text=True)
    found = SECRET.search(page)
    assert found is not None, page
    assert '<svg viewBox="' in page
    app = pyotp.TOTP(found[1])
    done = browser.post("/settings/security/totp/confirm", code=app.at(time.time() - 30)).get_data(as_text=True)
    codes = CODE.findall(done)
    assert len(codes) == 10
    return app, codes


def half_way(browser: Browser) -> Browser:
    """The first step, in another browser."""
    other = Browser(browser.client.application.test_client())
    assert other.sign_in("alice@example.com").headers["Location"] == "/sign-in/second-step"
    return other


def step(browser: Browser, code: str) -> int:
    return browser.post("/sign-in/second-step", code=code).status_code


def test_it_works(session: Session, alice: Browser, outbox: Outbox) -> None:
    app, _codes = turn_on(alice)
    other = half_way(alice)
    assert other.get("/databases").status_code == 303
    assert "Of your authenticator app" in other.page("/sign-in/second-step")
    assert other.post("/sign-in/second-step", code=app.now()).headers["Location"] == "/databases"
    assert "alice@example.com" in other.page("/settings")
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "user.sign_in").order_by(AuditEvent.id)).all()
    assert event[-1].details == {"method": "password+totp"}
    assert "authenticator app" in outbox.messages()[-1].get_content()


def test_a_code_works_once(alice: Browser) -> None:
    app, _codes = turn_on(alice)
    code = app.now()
    first, second = half_way(alice), half_way(alice)
    assert step(first, code) == 303
    assert step(second, code) == 401
    assert step(second, app.at(time.time() - 30)) == 401


def test_a_recovery_code_works_once(alice: Browser) -> None:
    _app, codes = turn_on(alice)
    assert step(half_way(alice), codes[0].upper().replace("-", " ")) == 303
    assert step(half_way(alice), codes[0]) == 401
    assert '<span class="mono">9</span>' in alice.page("/settings/security")


def test_new_recovery_codes_end_the_old_ones(alice: Browser) -> None:
    _app, codes = turn_on(alice)
    fresh = CODE.findall(alice.post("/settings/security/recovery-codes").get_data(as_text=True))
    assert step(half_way(alice), codes[0]) == 401
    assert step(half_way(alice), fresh[0]) == 303


def test_without_the_first_step_there_is_no_second(anonymous: Browser) -> None:
    assert anonymous.get("/sign-in/second-step").headers["Location"] == "/sign-in"
    assert anonymous.post("/sign-in/second-step", code="123456").headers["Location"] == "/sign-in"


def test_the_first_step_grows_old(session: Session, alice: Browser) -> None:
    app, _codes = turn_on(alice)
    other = half_way(alice)
    session.execute(update(OneTimeToken).values(expires_at=func.now()))
    session.commit()
    assert other.post("/sign-in/second-step", code=app.now()).headers["Location"] == "/sign-in"
    assert other.get("/databases").status_code == 303


def test_guessing_codes_is_limited(app: Flask, alice: Browser) -> None:
    _app, codes = turn_on(alice)
    app.extensions["dbhost"].settings.account_rate = "3 per hour"
    other = half_way(alice)
    assert [step(other, "000000") for _ in range(4)] == [401, 401, 401, 429]
    assert step(other, codes[0]) == 429


def test_a_new_password_does_not_get_around_it(alice: Browser, anonymous: Browser, outbox: Outbox) -> None:
    turn_on(alice)
    anonymous.post("/forgot-password", email="alice@example.com")
    token, new = outbox.link().partition("token=")[2], "another good password"
    assert anonymous.post("/reset-password", token=token, password=new, repeated=new).status_code == 303
    assert anonymous.sign_in("alice@example.com", new).headers["Location"] == "/sign-in/second-step"


def test_an_app_that_showed_no_code_does_not_count(alice: Browser) -> None:
    alice.post("/settings/security/totp")
    wrong = alice.post("/settings/security/totp/confirm", code="000000")
    assert wrong.status_code == 400
    assert "not the code that the app shows" in wrong.get_data(as_text=True)
    other = Browser(alice.client.application.test_client())
    assert other.sign_in("alice@example.com").headers["Location"] == "/databases"


def test_removing_the_last_one_forgets_the_codes(session: Session, alice: Browser) -> None:
    turn_on(alice)
    assert alice.post("/settings/security/totp/remove").status_code == 303
    assert session.scalars(select(RecoveryCode)).all() == []
    other = Browser(alice.client.application.test_client())
    assert other.sign_in("alice@example.com").headers["Location"] == "/databases"


def test_another_app_waits_until_the_first_is_removed(alice: Browser) -> None:
    turn_on(alice)
    assert alice.post("/settings/security/totp").status_code == 409


def test_nothing_of_it_is_kept_readable(session: Session, alice: Browser) -> None:
    app, codes = turn_on(alice)
    rows = [*session.scalars(select(TotpSecret)), *session.scalars(select(RecoveryCode))]
    events = session.scalars(select(AuditEvent)).all()
    stored = "".join(str(vars(row)) for row in [*rows, *events])
    assert app.secret not in stored
    assert not [code for code in codes if code in stored or code.replace("-", "") in stored]


def test_an_operator_takes_it_away(
    session: Session, alice: Browser, control_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(alice)
    monkeypatch.setenv("DATABASE_URL", control_url)
    result = CliRunner().invoke(main, ["user", "reset-second-factor", "alice@example.com"])
    assert result.exit_code == 0, result.output
    other = Browser(alice.client.application.test_client())
    assert other.sign_in("alice@example.com").headers["Location"] == "/databases"
    assert "user.remove_second_factors" in session.scalars(select(AuditEvent.action)).all()


def test_passkeys_need_a_name(app: Flask, alice: Browser) -> None:
    app.extensions["dbhost"].settings.web_url = "http://192.0.2.1:8000"
    assert alice.get("/passkeys/create-options").status_code == 400
    assert "is an IP address" in alice.page("/settings/security")
    app.extensions["dbhost"].settings.web_url = "http://db.example.com:8000"
    assert alice.get("/passkeys/create-options").get_json()["rp"]["id"] == "db.example.com"


def test_a_made_up_passkey_is_refused(alice: Browser, anonymous: Browser) -> None:
    assert anonymous.get("/passkeys/sign-options").get_json()["allowCredentials"] == []
    assert anonymous.post("/sign-in/passkey", credential="{}").status_code == 401
    alice.get("/passkeys/create-options")
    assert alice.post("/settings/security/passkeys", credential='{"id": "x"}').status_code == 400
    assert anonymous.get("/passkeys/create-options").status_code == 401
