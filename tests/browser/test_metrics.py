"""The metrics of a database, as a person sees them."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, create, shoot
from tests.browser.test_access import violations
from webapp.models import Database, DatabaseFigures, DatabaseSample

pytestmark = pytest.mark.browser


def add_a_day(site: Site, address: str) -> None:
    """Samples of a day with an hour in which nobody looked."""
    now = datetime.now(UTC)
    with site.sessions() as session:
        database = session.get_one(Database, address.rpartition("/")[2])
        for minutes in (ago for ago in range(1, 1440, 5) if not 300 < ago < 360):
            wave = 1 + math.sin(minutes / 120)
            counted = {"size_bytes": 30_000_000 - minutes * 10_000, "clients_active": int(wave * 4)}
            counted |= {"clients_waiting": 0, "transactions": int(wave * 900), "blocks_hit": 980, "blocks_read": 20}
            at = now - timedelta(minutes=minutes)
            sample = {"database_id": database.id, "resolution_s": 0, "at": at, "duration_s": 300}
            session.add(DatabaseSample(**sample, **counted))
        figures = {"clients_active": 3, "clients_waiting": 1, "last_connection_at": now}
        session.add(DatabaseFigures(database_id=database.id, sampled_at=now, **figures))
        database.size_bytes = 30_000_000
        session.commit()


def test_plots(site: Site, page: Page) -> None:
    address = create(page, "My shop")
    expect(page.get_by_text("The host has not reported on this database yet.")).to_be_visible()
    add_a_day(site, address)
    page.goto(address)
    plots = page.get_by_role("img", name="last day")
    expect(plots).to_have_count(4)
    expect(page.get_by_role("img", name="Size, last day")).to_be_visible()
    expect(page.get_by_text("Last 28.6 MB; between")).to_be_visible()
    box = plots.first.locator(".plot-line").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 20
    assert violations(page) == []
    page.locator("#metrics").scroll_into_view_if_needed()
    shoot(page, "metrics", full_page=True)
    page.get_by_role("link", name="Hour").click()
    expect(page.get_by_role("img", name="last hour")).to_have_count(4)
    expect(page.get_by_role("link", name="Hour")).to_have_attribute("aria-current", "true")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
