"""API keys: who gets in, and with what."""

from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.api.conftest import Caller, problem
from webapp.services import auth_sessions
from webapp.services.passwords import hash_password

PATH = "/api/v1/databases"


def refused(response: TestResponse) -> None:
    problem(response, 401, "UNAUTHORIZED")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_it_works(alice: Caller, session: Session) -> None:
    response = alice.get(PATH, headers={"X-Request-Id": "mine-1"})
    assert response.status_code == 200
    assert response.headers["X-Request-Id"] == "mine-1"
    used = session.execute(text("SELECT last_used_at, last_used_ip FROM api_keys")).one()
    assert used.last_used_at is not None
    assert used.last_used_ip == "127.0.0.1"


def test_refused_keys(nobody: Caller, alice: Caller) -> None:
    key = alice.key or ""
    refused(nobody.get(PATH))
    for given in (
        "", "Bearer", "Bearer ", f"Basic {key}", "Bearer dbh_", f"Bearer {key[:-1]}", f"Bearer {key}x",
        f"Bearer {key[:-1]}_" if key[-1] != "_" else f"Bearer {key[:-1]}-", f"Bearer {key.upper()}", key,
        "Bearer ' OR 1=1 --", f"Bearer {'x' * 5000}", "Bearer dbh_\u00e9", f"Token {key}",
    ):  # fmt: skip
        refused(nobody.get(PATH, headers={"Authorization": given}))
    assert nobody.get(PATH, headers={"Authorization": f"bearer {key}"}).status_code == 200


def test_revoked(alice: Caller, session: Session) -> None:
    session.execute(text("UPDATE api_keys SET revoked_at = now()"))
    session.commit()
    refused(alice.get(PATH))


def test_banned(alice: Caller, session: Session) -> None:
    session.execute(text("UPDATE users SET state = 'banned'"))
    session.commit()
    refused(alice.get(PATH))


def test_plan_without_the_api(alice: Caller, session: Session) -> None:
    session.execute(text("UPDATE users SET plan = 'free'"))
    session.commit()
    problem(alice.get(PATH), 403, "PLAN_LIMIT")
    problem(alice.post(PATH, {"name": "shop", "displayName": "Shop"}), 403, "PLAN_LIMIT")


def test_a_signed_in_browser_gets_nothing(alice: Caller, nobody: Caller, session: Session) -> None:
    assert alice.user is not None
    alice.user.password_hash = hash_password("correct horse battery")
    session.merge(alice.user)
    session.commit()
    user = auth_sessions.check_password(session, "alice@example.com", "correct horse battery")
    signed_in = auth_sessions.start(session, user, ip="127.0.0.1", user_agent=None)
    session.commit()
    nobody.client.set_cookie("dbhost_session_8000", signed_in.token)
    assert nobody.client.get("/settings").status_code == 200
    refused(nobody.get(PATH))
