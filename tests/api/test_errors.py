"""One envelope for every error, and no body that gets past it."""

import json
from typing import Any

import psycopg
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set, problem
from webapp.models import Database

PATH = "/api/v1/databases"
JSON = {"content_type": "application/json"}


def test_unknown_addresses(alice: Caller, nobody: Caller) -> None:
    for path in ("/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/databases", f"{PATH}/", "/api/%00"):
        problem(alice.get(path), 404, "NOT_FOUND")
        problem(nobody.get(path), 404, "NOT_FOUND")


def test_methods(alice: Caller) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        response = alice.call(method, PATH)
        problem(response, 405, "METHOD_NOT_ALLOWED")
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_bodies_that_are_not_json(alice: Caller, session: Session) -> None:
    bodies = [
        b"", b"{", b"}", b"nul", b"'name'", b"{'name': 1}", b'{"name": "shop",}', b'{"name": "shop"} x', b"\xff\xfe",
        b'{"name": "\xe9"}', b'\xef\xbb\xbf{"name": "shop"}', b'{"name": NaN}', b'{"name": Infinity}',
        b'{"name": "shop", "name": "blog", "displayName": "x"}', b'{"name": ' + b"9" * 5000 + b"}",
        b"[" * 100_000, b'{"name":' * 20_000, b'{"name": "sh\x00op"}',
    ]  # fmt: skip
    for body in bodies:
        problem(alice.post(PATH, data=body, **JSON), 400, "INVALID_REQUEST")
    for body in (b"null", b"[]", b'"{\\"name\\": \\"shop\\", \\"displayName\\": \\"x\\"}"', b"1", b"true", b"[{}]"):
        problem(alice.post(PATH, data=body, **JSON), 400, "INVALID_REQUEST")
    assert session.scalar(select(func.count()).select_from(Database)) == 0


def test_content_types(alice: Caller) -> None:
    body = json.dumps({"name": "shop", "displayName": "Shop"})
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        problem(alice.post(PATH, data=body, content_type=content_type), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_bodies_over_the_limit(make_api: Set, alice: Caller, shop: Database) -> None:
    alice.client = make_api(max_body_bytes=2048).test_client()
    huge = json.dumps({"name": "shop", "displayName": "x" * 4000})
    for path in (PATH, f"{PATH}/{shop.id}/stop"):
        problem(alice.post(path, data=huge, **JSON), 413, "PAYLOAD_TOO_LARGE")
        chunked = {"environ_overrides": {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}}
        problem(alice.post(path, data=huge, **JSON, **chunked), 413, "PAYLOAD_TOO_LARGE")


def test_headers_of_every_answer(alice: Caller, nobody: Caller) -> None:
    for response in (alice.get(PATH), nobody.get(PATH), nobody.get("/api/v1/nothing"), alice.post(PATH, {})):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Request-Id"]
        assert response.headers["Cache-Control"] in ("no-store", "private, no-cache")
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_control_database_away(make_api: Set, alice: Caller, cluster: Any, monkeypatch: Any) -> None:
    engine = alice.client.application.extensions["dbhost"].engine
    monkeypatch.setattr(engine.pool, "_creator", _no_connection)
    engine.pool.dispose()
    response = alice.get(PATH)
    problem(response, 503, "SERVICE_UNAVAILABLE")
    assert response.headers["Retry-After"] == "5"


hostile_text = st.text(st.characters(codec=None, exclude_categories=[]), max_size=30)
hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=8,
)
fields = st.dictionaries(st.sampled_from(["name", "displayName"]) | hostile_text, hostile, max_size=4)


def test_hostile_bodies(app: Flask, alice: Caller, session: Session) -> None:
    """Whatever is sent: refused in the one envelope, or a name that keeps the rule; never a 500."""

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.binary(max_size=60) | (hostile | fields).map(lambda value: json.dumps(value).encode()))
    def send(body: bytes) -> None:
        response = alice.post(PATH, data=body, headers={"Prefer": "respond-async"}, **JSON)
        if response.status_code != 202:
            assert response.status_code == 400
            assert response.get_json()["code"] in ("INVALID_REQUEST", "VALIDATION_ERROR")

    app.extensions["dbhost"].settings.change_rate = "1000000 per minute"
    send()
    accepted = session.scalar(select(func.count()).select_from(Database)) or 0
    assert accepted <= 1


def test_hostile_actions_and_ids(app: Flask, alice: Caller, shop: Database) -> None:
    app.extensions["dbhost"].settings.change_rate = "1000000 per minute"

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(hostile.filter(lambda value: value != {}), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
    def send(value: Any, text: str) -> None:
        body = json.dumps(value).encode()
        response = alice.post(f"{PATH}/{shop.id}/restart", data=body, **JSON)
        assert response.get_json()["code"] in ("INVALID_REQUEST", "VALIDATION_ERROR")
        assert alice.get(f"{PATH}?search={text}").status_code in (200, 400)

    send()


def _no_connection(*_arguments: Any) -> Any:
    raise psycopg.OperationalError("connection refused")
