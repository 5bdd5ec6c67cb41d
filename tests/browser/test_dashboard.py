"""A person's way through the dashboard, from sign-in to delete."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tests.browser.conftest import Site, create, shoot, sign_in
from tests.browser.scripted_worker import HOLD_AT, ScriptedWorker
from webapp.models import AuthSession

pytestmark = pytest.mark.browser
STRING = re.compile(r"postgresql://my-shop-\w{6}:([\w-]{32})@127\.0\.0\.1:6432/my-shop-\w{6}\?sslmode=require")
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


def test_it_works(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(**CLIPBOARD)
    sign_in(page, site.user())
    shoot(page, "empty")
    page.get_by_role("main").get_by_role("link", name="Create database").last.click()
    page.get_by_label("Display name").fill("My shop")
    expect(page.locator("#derived code")).to_have_text(re.compile(r"^my-shop-\w{6}$"))
    shoot(page, "create")
    site.worker.free.clear()
    page.get_by_role("button", name="Create database").click()
    watch_the_steps(page, site.worker)
    reveal_and_copy(page)


def watch_the_steps(page: Page, worker: ScriptedWorker) -> None:
    """The steps appear one after another without a reload; then the page is a finished database's."""
    page.evaluate("window.neverReloaded = true")
    steps = page.locator(".steps li")
    expect(steps.nth(HOLD_AT - 1)).to_be_visible()
    expect(steps).to_have_count(HOLD_AT)
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    shoot(page, "creating")
    worker.free.set()
    page.get_by_text("Database created in").wait_for()
    assert page.evaluate("window.neverReloaded") is True
    expect(page.locator(".title-row .status")).to_have_text("Active")
    shoot(page, "created", full_page=True)


def reveal_and_copy(page: Page) -> None:
    """Copying works while the password is masked; revealing shows what was copied; hiding masks it again."""
    string = page.locator("#connection-string")
    expect(string).to_contain_text(":••••••••••••@")
    page.get_by_role("button", name="Copy connection string").click()
    expect(page.get_by_text("Connection string copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    found = STRING.fullmatch(copied)
    assert found is not None, copied
    assert found[1] not in page.content()
    page.get_by_role("button", name="Reveal the password").click()
    expect(string).to_have_text(copied)
    shoot(page, "revealed")
    page.get_by_role("tab", name="Django").click()
    page.get_by_role("button", name="Copy django snippet").click()
    expect(page.get_by_text("Django snippet copied")).to_be_visible()
    assert f'"PASSWORD": "{found[1]}"' in page.evaluate("navigator.clipboard.readText()")
    switch_doors(page, copied)
    page.get_by_role("link", name="Hide the password").click()
    expect(string).to_contain_text("••••")
    assert found[1] not in page.content()


def switch_doors(page: Page, pooled: str) -> None:
    """The switch changes the port of the string, the details and the snippets, and says what each door is for."""
    expect(page.locator("#doors [aria-current]")).to_have_text("Pooled")
    page.locator("#doors").get_by_role("link", name="Direct").click()
    expect(page.locator("#doors [aria-current]")).to_have_text("Direct")
    expect(page.locator("#door-words")).to_contain_text("LISTEN/NOTIFY")
    expect(page.locator("#value-port")).to_have_text("6433")
    expect(page.locator("#connection-string")).to_contain_text(":6433/")
    page.get_by_role("button", name="Reveal the password").click()
    expect(page.locator("#connection-string")).to_have_text(pooled.replace(":6432/", ":6433/"))
    page.get_by_role("tab", name="Prisma").click()
    for port in ("6432", "6433"):
        expect(page.locator("#code-prisma")).to_contain_text(f":{port}/")
    shoot(page, "direct")
    page.locator("#doors").get_by_role("link", name="Pooled").click()
    expect(page.locator("#value-port")).to_have_text("6432")
    expect(page.locator("#connection-string")).to_contain_text("••••")
    page.get_by_role("button", name="Reveal the password").click()


def test_stop_start_reset_and_rename(page: Page) -> None:
    create(page, "My shop")
    page.get_by_role("link", name="Stop").click()
    page.get_by_role("button", name="Stop database").click()
    page.get_by_text("Database stopped in").wait_for()
    expect(page.get_by_text("This database is stopped")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Database started in").wait_for()
    page.get_by_role("link", name="Reset password").click()
    page.get_by_role("button", name="Reset password").click()
    page.get_by_text("Password reset in").wait_for()
    page.get_by_role("link", name="Rename").click()
    page.get_by_label("Display name").fill("Our shop")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Our shop")
    expect(page.get_by_text("Database renamed")).to_be_visible()


def test_the_allowlist(page: Page) -> None:
    create(page, "My shop")
    card = page.get_by_role("region", name="Allowlist")
    expect(card.get_by_text("Open to every network")).to_be_visible()
    card.get_by_role("button", name="Add my address").click()
    page.get_by_text("Allowlist changed in").wait_for()
    expect(card.get_by_text("127.0.0.1/32")).to_be_visible()
    card.get_by_label("Network").fill("0.0.0.0/0")
    card.get_by_label("Label").fill("Everybody")
    card.get_by_role("button", name="Add network").click()
    expect(card.get_by_text("Open to everybody")).to_be_visible()
    remove = card.get_by_role("button", name="Remove 0.0.0.0/0")
    remove.wait_for()
    shoot(page, "allowlist", full_page=True)
    remove.click()
    expect(card.get_by_text("Open to everybody")).to_be_hidden()
    expect(card.get_by_role("listitem")).to_have_count(1)


def test_delete_waits_for_the_typed_name(page: Page) -> None:
    create(page, "My shop")
    name = page.locator("#value-name").inner_text()
    page.get_by_role("link", name="Delete").click()
    confirm = page.get_by_role("button", name="Delete this database")
    expect(confirm).to_be_disabled()
    page.get_by_label("to confirm").fill(name[:-1])
    expect(confirm).to_be_disabled()
    page.get_by_label("to confirm").fill(name)
    shoot(page, "delete")
    confirm.click()
    page.get_by_text("the name is free").wait_for()
    shoot(page, "deleted")
    page.get_by_role("link", name="Back to the databases").click()
    expect(page.get_by_text("Create your first database")).to_be_visible()


def test_a_failure_says_why_and_a_retry_heals_it(page: Page) -> None:
    page.goto("/databases/new")
    page.get_by_label("Display name").fill("Will fail")
    page.get_by_role("button", name="Create database").click()
    page.get_by_text("Creating the database failed").wait_for()
    expect(page.get_by_text("The host has no space left")).to_be_visible()
    shoot(page, "failed")
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("Database created in").wait_for()


def test_the_list_narrows_while_one_types(page: Page) -> None:
    for name in ("Blog", "Shop"):
        create(page, name)
    page.goto("/databases")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    shoot(page, "list")
    page.keyboard.press("/")
    page.keyboard.type("blo")
    expect(rows).to_have_count(1)
    assert page.url.endswith("?search=blo&status=")
    page.get_by_text("Stopped", exact=True).click()
    expect(page.get_by_text("No database matches")).to_be_visible()


def test_a_session_ended_elsewhere_leads_to_the_sign_in(site: Site, page: Page) -> None:
    create(page, "My shop")
    with site.sessions() as session:
        session.execute(update(AuthSession).values(revoked_at=AuthSession.created_at))
        session.commit()
    page.goto("/databases")
    expect(page.get_by_role("heading", name="Sign in to DBHost")).to_be_visible()


def test_everything_works_without_javascript(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, site.user())
    page.goto("/databases/new")
    page.get_by_label("Display name").fill("My shop")
    page.get_by_role("button", name="Create database").click()
    reload_until(page, "Database created in")
    page.get_by_role("button", name="Reveal the password").click()
    expect(page.locator("#connection-string")).to_have_text(STRING)
    expect(page.get_by_role("heading", name="Prisma")).to_be_visible()
    name = page.locator("#value-name").inner_text()
    page.get_by_role("link", name="Delete").click()
    page.get_by_label("to confirm").fill(name)
    page.get_by_role("button", name="Delete this database").click()
    reload_until(page, "Database deleted")


def reload_until(page: Page, text: str) -> None:
    for _ in range(50):
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(200)
        page.reload()
    raise AssertionError(f"{text!r} never appeared")
