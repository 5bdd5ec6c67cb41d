"""A webhook endpoint from its form to a message that arrived, in a real browser, by the rules of axe."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, look, sign_in
from tests.support.receiver import receiving

pytestmark = pytest.mark.browser


def test_an_endpoint_s_life(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page()
    sign_in(page, site.user())
    page.goto("/settings/webhooks")
    look(page, "webhooks-empty")
    with receiving() as receiver:
        page.get_by_label("Address").fill(receiver.url("/hooks/" + "long-" * 20))
        page.get_by_role("button", name="Add endpoint").click()
        expect(page.get_by_label("Signing secret", exact=True)).to_contain_text("whsec_")
        look(page, "webhooks-secret")
        page.get_by_role("link", name="/hooks/").click()
        receiver.status, receiver.text = 503, b'{"error": "try later"}'
        page.get_by_role("button", name="Send a test").click()
        receiver.wait(1)
        until(page, "Given up")
        look(page, "webhooks-endpoint")
        page.get_by_role("link", name="A test").click()
        expect(page.get_by_text("try later")).to_be_visible()
        look(page, "webhooks-message")
        receiver.status = 204
        page.get_by_role("button", name="Send again").click()
        receiver.wait(2)
        until(page, "Delivered")
    page.get_by_role("link", name="Webhooks").first.click()
    page.get_by_role("link", name="/hooks/").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("This endpoint is disabled")).to_be_visible()
    look(page, "webhooks-disabled")
    page.get_by_role("link", name="Delete").click()
    look(page, "webhooks-delete")
    page.get_by_role("button", name="Delete this endpoint").click()
    expect(page.get_by_text("No endpoints")).to_be_visible()


def until(page: Page, text: str) -> None:
    """The message is sent beside the pages: look again until one says how it went."""
    for _ in range(120):
        if page.get_by_text(text).count():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.get_by_text(text).first).to_be_visible()
