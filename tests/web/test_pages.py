"""What holds for every page: headers, nothing inline, nothing from elsewhere, and errors in the same design."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.web.conftest import Browser
from webapp.models import Database

WEBAPP = Path(__file__).parents[2] / "webapp"
PAGES = (
    "/databases", "/databases/new", "/databases/{id}", "/databases/{id}/delete", "/databases/{id}/rename",
    "/operations", "/operations/{operation}", "/activity", "/settings", "/settings/sessions", "/settings/api-keys",
)  # fmt: skip


class Inline(HTMLParser):
    """Collects what a strict policy forbids, and every address that a page loads something from."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.forbidden += [name for name in values if name == "style" or name.startswith(("on", "hx-on"))]
        if tag == "style" or (tag == "script" and ("src" not in values or "nonce" not in values)):
            self.forbidden.append(tag)
        if any(name.startswith("hx-") for name in values) and "hx-nonce" not in values:
            self.forbidden.append(f"{tag} without hx-nonce")
        if tag in ("script", "link", "img", "use", "iframe"):
            self.loaded.append(str(values.get("src") or values.get("href")))


@pytest.fixture
def paths(alice: Browser, shop: Database) -> list[str]:
    """Every page of Alice's, filled in."""
    operation = re.findall(r'href="/operations/([0-9a-f-]{36})"', alice.page("/operations"))[0]
    return [path.format(id=shop.id, operation=operation) for path in PAGES]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(
    alice: Browser, anonymous: Browser, paths: list[str]
) -> None:
    for path in paths:
        check(alice.page(path), path)
    check(anonymous.page("/sign-in"), "/sign-in")


def check(page: str, path: str) -> None:
    found = Inline()
    found.feed(page)
    assert found.forbidden == [], path
    assert found.loaded, path
    assert all(address.startswith("/static/") for address in found.loaded), path


def test_every_page_has_the_headers(alice: Browser, anonymous: Browser, paths: list[str]) -> None:
    for response in (*(alice.get(path) for path in paths), anonymous.get("/sign-in"), anonymous.get("/nothing-here")):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert re.search(r"script-src 'nonce-[\w-]{20,}'(;|$)", policy)
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_each_answer_has_a_nonce_of_its_own(anonymous: Browser) -> None:
    first, second = (anonymous.get("/sign-in").headers["Content-Security-Policy"] for _ in range(2))
    assert first != second


def test_assets_are_kept_for_good_under_the_address_of_their_content(alice: Browser) -> None:
    address = re.findall(r'href="(/static/app\.css\?v=\w+)"', alice.page("/databases"))[0]
    with alice.get(address) as kept, alice.get("/static/app.css") as unversioned:
        assert "immutable" in kept.headers["Cache-Control"]
        assert "immutable" not in unversioned.headers["Cache-Control"]


def test_errors_are_pages_of_the_same_design(alice: Browser, anonymous: Browser) -> None:
    for browser in (alice, anonymous):
        response = browser.get("/nothing-here")
        assert response.status_code == 404
        assert "Nothing here" in response.get_data(as_text=True)
        assert "app.css" in response.get_data(as_text=True)
    assert anonymous.get("/databases/not-a-uuid").status_code == 404
    assert alice.client.delete("/databases").status_code == 405


def test_an_unexpected_error_shows_nothing_of_itself(
    app: Flask, alice: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("webapp.services.audit.list_events", broken)
    app.testing = False
    response = alice.get("/activity")
    assert response.status_code == 500
    assert "Something broke" in response.get_data(as_text=True)
    assert "secret detail" not in response.get_data(as_text=True)


def test_the_front_door_leads_to_the_databases(anonymous: Browser) -> None:
    assert anonymous.get("/").headers["Location"] == "/databases"


def test_the_ca_certificate_is_there_when_there_is_one(app: Flask, anonymous: Browser, tmp_path: Path) -> None:
    assert anonymous.get("/ca.crt").status_code == 404
    certificate = tmp_path / "ca.crt"
    certificate.write_text("-----BEGIN CERTIFICATE-----")
    app.extensions["dbhost"].settings.ca_file = certificate
    with anonymous.get("/ca.crt") as response:
        assert response.data == b"-----BEGIN CERTIFICATE-----"
        assert response.headers["Content-Disposition"] == "attachment; filename=ca.crt"


def test_the_activity_page_shows_one_s_own_events_alone(
    alice: Browser, bob: Browser, root: Browser, shop: Database
) -> None:
    assert ">shop</a>" in alice.page("/activity")
    assert "bob@example.com" not in alice.page("/activity")
    assert "alice@example.com" not in bob.page("/activity")
    assert {"alice@example.com", "bob@example.com"} <= set(re.findall(r"\w+@example\.com", root.page("/activity")))


# Words in an icon's call that are no icons: classes, and the states that choose one.
NO_ICONS = {"changed", "copied", "done", "error", "failed", "ok", "running", "skipped", "spinner", "success"}
NO_ICONS |= {"unreachable", "warning"}


def test_every_icon_of_the_templates_and_words_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (WEBAPP / "static/icons.svg").read_text(encoding="utf-8")))
    named: set[str] = set()
    for template in (WEBAPP / "templates").rglob("*.html"):
        for call in re.findall(r"icon\(([^()]*)\)", template.read_text(encoding="utf-8")):
            named |= set(re.findall(r'"([a-z][a-z0-9-]+)"', call))
    words = (WEBAPP / "web/words.py").read_text(encoding="utf-8")
    named |= set(re.findall(r'"([a-z][a-z0-9-]+)"\)', words))
    assert named - NO_ICONS <= sprite
