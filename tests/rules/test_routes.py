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


# Sent twice these do the same as once: they set something, end something, ask Stripe, or are refused the second time.
REPEATABLE = {
    "admin_drift": {"check", "ignore", "notice", "repair"},
    "admin_hosts": {"set_state"},
    "admin_operations": {"cancel", "retry"},
    "admin_users": {"ban", "change_email", "change_plan", "change_role", "delete", "unban", "undelete", "view_as"},
    "allowlist": {"remove"},
    "backups": {"change", "restore_upload", "schedule"},  # one long operation of a database at a time
    "billing": {"change", "checkout", "portal"},
    "changes": {"delete", "queue", "rename"},
    "confirmation": {"confirm"},
    "databases": {"reveal"},
    "deletions": {"protect", "undelete"},
    "factor_settings": {"remove_passkey", "remove_totp", "start_totp"},
    "invitations": {"withdraw"},
    "member_credentials": {"give_up", "revoke"},
    "members": {"change", "remove"},
    "moves": {"move"},
    "operations": {"cancel", "retry"},
    "own_invitations": {"accept", "decline"},
    "security_settings": {"unlink"},
    "settings": {"change_email", "change_password", "revoke_key", "revoke_other_sessions", "revoke_session"},
    "transfers": {"withdraw"},
    "webhooks": {"change", "delete", "resend", "set_state"},
}


def test_every_form_that_makes_something_does_so_once(app: Flask) -> None:
    signed_in = {blueprint.name for blueprint in web.SIGNED_IN}
    forms = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and rule.endpoint.partition(".")[0] in signed_in
    }
    repeatable = {f"{blueprint}.{view}" for blueprint, views in REPEATABLE.items() for view in views}
    once = {endpoint for endpoint in forms if hasattr(app.view_functions[endpoint], "answers_once")}
    assert once.isdisjoint(repeatable)
    assert once | repeatable == forms


def test_every_form_carries_a_token() -> None:
    folder = Path(web.__file__).parents[1] / "templates"
    pages = [path.read_text(encoding="utf-8").replace("ui.csrf()", "csrf()") for path in folder.rglob("*.html")]
    assert sum(page.count('method="post"') for page in pages) == sum(page.count("{{ csrf() }}") for page in pages)
