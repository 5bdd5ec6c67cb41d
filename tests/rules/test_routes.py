"""Every route is in one of the two tables of who gets what, tests/api/test_guards.py and tests/web/guard_rules.py."""

import base64
from pathlib import Path

import pytest
from flask import Flask

from tests.api import test_guards as api
from tests.web import guard_rules
from tests.web.guard_routes import routes
from webapp import web
from webapp.app import create_app
from webapp.config import Settings


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The app, which opens no connection before a request needs one."""
    monkeypatch.setenv("DBHOST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("DBHOST_SECRET_KEY", "test")
    monkeypatch.setenv("DBHOST_TESTING", "true")
    monkeypatch.setenv("DBHOST_ENCRYPTION_KEYS", base64.urlsafe_b64encode(bytes(32)).decode())
    return create_app(Settings())


def test_every_page_has_a_rule(app: Flask) -> None:
    assert set(routes(app)) == set(guard_rules.RULES)


def test_no_route_is_outside_both_tables(app: Flask) -> None:
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()} - {"static"}
    ruled = {key.split()[1] for key in (*api.RULES, *guard_rules.RULES)}
    assert endpoints == ruled


def test_every_form_is_checked_for_csrf(app: Flask) -> None:
    checked = {blueprint.name for blueprint in (*web.SIGNED_IN, *web.SIGNED_OUT)}
    forms = {key for key in routes(app) if key.startswith("POST")} - guard_rules.WITHOUT_TOKEN
    changing = {key.split()[1].partition(".")[0] for key in forms}
    assert changing <= checked
