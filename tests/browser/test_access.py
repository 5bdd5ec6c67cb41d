"""For everyone: by keyboard alone, on a small screen, and by the rules of axe."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, Site, create, shoot, sign_in

pytestmark = pytest.mark.browser
PATHS = (
    "/databases",
    "/databases/new",
    "/operations",
    "/activity",
    "/settings",
    "/settings/security",
    "/settings/sessions",
    "/settings/api-keys",
    "/sign-up",
    "/forgot-password",
    "/confirm",
)


@pytest.fixture
def pages(page: Page) -> list[str]:
    """Every page of a user with one database."""
    database = create(page, "My shop")
    page.goto("/operations")
    operation = page.locator(".row-link").first.get_attribute("href")
    assert operation is not None
    return [*PATHS, database, f"{database}/delete", f"{database}/rename", operation]


def test_by_keyboard_alone(site: Site, open_page: Callable[..., Page]) -> None:
    page, user = open_page(), site.user()
    page.goto("/databases")
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(user.email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Databases", exact=True).wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("c")
    expect(page.get_by_label("Display name")).to_be_focused()
    page.keyboard.type("Keys")
    page.keyboard.press("Enter")
    page.get_by_text("Database created in").wait_for()
    operate_by_keyboard(page)


def operate_by_keyboard(page: Page) -> None:
    """Tabs by arrow, a dialog that keeps the focus and gives it back, and the typed confirmation."""
    tab_to(page, "tab", "psql")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="psycopg", exact=True)).to_be_focused()
    expect(page.get_by_role("tabpanel", name="psycopg", exact=True)).to_be_visible()
    name = page.locator("#value-name").inner_text()
    opener = tab_to(page, "link", "Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_label("to confirm")).to_be_focused()
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.get_by_text("the name is free").wait_for()


def tab_to(page: Page, role: str, name: str):  # type: ignore[no-untyped-def]
    """Press Tab until the element has the focus, which must be seen."""
    wanted = page.get_by_role(role, name=name)  # type: ignore[arg-type]
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            assert wanted.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
            return wanted
    raise AssertionError(f"Tab never reaches {role} {name}")


def test_axe_finds_nothing(page: Page, pages: list[str], open_page: Callable[..., Page]) -> None:
    page.emulate_media(reduced_motion="reduce")
    found = {}
    for path in pages:
        page.goto(path)
        found[path] = violations(page)
    for opener in ("Rename", "Delete"):
        page.goto(pages[len(PATHS)])
        page.get_by_role("link", name=opener).click()
        found[opener] = violations(page)
    stranger = open_page()
    stranger.goto("/sign-in")
    found["/sign-in"] = violations(stranger)
    broken = {path: rules for path, rules in found.items() if rules}
    assert broken == {}, broken


def violations(page: Page) -> list[str]:
    """The rules that the page breaks, each with the elements."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found]


def test_360_pixels_are_enough(page: Page, pages: list[str]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in pages:
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width == 360, (path, width)
        shoot(page, "narrow-" + re.sub(r"\W+", "-", re.sub(r"[0-9a-f-]{36}", "id", path.split("/", 3)[-1])).strip("-"))


def test_an_admin_sees_everybody_s_databases(site: Site, page: Page, open_page: Callable[..., Page]) -> None:
    create(page, "My shop")
    admin = open_page()
    sign_in(admin, site.user(admin=True))
    expect(admin.get_by_role("columnheader", name="Owner")).to_be_visible()
    admin.locator(".row-link").first.click()
    expect(admin.get_by_text("Only the owner can see the password.")).to_be_visible()
    shoot(admin, "admin")
