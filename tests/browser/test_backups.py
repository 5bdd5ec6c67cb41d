"""Backups by hand in a real browser: made, imported by drag and drop, cloned, scheduled; and what is refused."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, create, look, sign_in

pytestmark = pytest.mark.browser
DUMP = "CREATE TABLE goods (id int);\n--\n-- PostgreSQL database dump complete\n--\n"
DROP = """([name, text]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([text], name));
    const place = document.querySelector("[data-drop]");
    for (const kind of ["dragover", "drop"]) {
        place.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: carried}));
    }
}"""


def backups_of(page: Page) -> str:
    """The page of backups of a new database that has one; the database's name."""
    path = create(page, "Shop")
    page.get_by_role("button", name="Back up now").click()
    page.get_by_text("Backup made").wait_for()
    page.goto(f"{path}/backups")
    page.get_by_role("heading", name="Import a dump").wait_for()
    return page.locator("[data-confirm]").first.get_attribute("data-confirm") or ""


def test_a_dump_that_is_dropped_there_is_imported(page: Page) -> None:
    name = backups_of(page)
    look(page, "backups")
    page.get_by_label("Type").fill(name)
    page.evaluate(DROP, ["goods.sql", DUMP])
    expect(page.get_by_text("goods.sql (")).to_be_visible()
    page.get_by_role("button", name="Replace everything").click()
    page.get_by_text("Database restored").wait_for()


def test_a_file_that_cannot_be_taken_is_refused_with_the_reason(site: Site, chromium: Browser) -> None:
    """Not by the fixture of pages, which takes the browser's own note of a refused request for a failure."""
    context = chromium.new_context(base_url=site.url)
    page = context.new_page()
    sign_in(page, site.user())
    name = backups_of(page)
    page.get_by_label("Type").fill(name)
    page.evaluate(DROP, ["x" * 256, DUMP])
    page.get_by_role("button", name="Replace everything").click()
    expect(page.locator("[data-progress] [role=status]")).to_contain_text("characters that can be printed")
    context.close()


def test_a_clone_and_a_schedule(page: Page) -> None:
    backups_of(page)
    page.get_by_label("Keep for days").fill("5")
    page.get_by_label("At (UTC)").select_option("04:00")
    page.get_by_role("button", name="Save the schedule").click()
    expect(page.locator("#schedule")).to_contain_text("04:00 UTC")
    expect(page.get_by_label("Keep for days")).to_have_value("5")
    page.get_by_role("link", name="Clone").first.click()
    page.get_by_label("Display name").fill("Shop copy")
    look(page, "clone")
    page.get_by_role("button", name="Create the clone").click()
    expect(page.get_by_text("Database cloned")).to_be_visible()
