"""Paying, failing, recovering and cancelling in a real browser, on the stand-in's own pages, its events over HTTP."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, shoot, sign_in

pytestmark = pytest.mark.browser


def in_portal(page: Page, *buttons: str) -> None:
    """Press buttons of the portal, and come back."""
    page.goto("/settings/billing")
    page.get_by_role("button", name="Card, invoices, cancel").click()
    for button in buttons:
        page.get_by_role("button", name=button).click()
        page.get_by_role("heading", name="Your subscription").wait_for()
    page.get_by_role("link", name="Back to the shop").click()
    page.get_by_role("heading", name="Settings").wait_for()


def expect_soon(page: Page, text: str) -> None:
    """Stripe's event comes when it comes: look again until the page says so."""
    for _ in range(40):
        page.reload()
        if page.get_by_text(text).count():
            break
        page.wait_for_timeout(250)
    expect(page.get_by_text(text).first).to_be_visible()


def test_a_subscription_s_life(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page()
    sign_in(page, site.user(plan="free"))
    page.goto("/settings/billing")
    shoot(page, "billing-free")
    page.get_by_role("button", name="Get Pro").click()
    page.get_by_role("button", name="Pay with a card that is declined").click()
    page.get_by_role("button", name="Pay with another card").click()
    page.get_by_text("You are on the Pro plan").wait_for()
    shoot(page, "billing-pro")

    in_portal(page, "Use a card that is declined", "The period ends: renew")
    expect_soon(page, "Your payment failed")
    shoot(page, "billing-failed")
    page.goto("/databases")
    page.get_by_text("Your last payment failed").wait_for()
    shoot(page, "billing-banner")

    in_portal(page, "Use a card that pays", "Cancel at the period's end")
    expect_soon(page, "Your subscription ends on")
    shoot(page, "billing-ends")
    in_portal(page, "The period ends: renew")
    expect_soon(page, "Get Pro")
    page.set_viewport_size({"width": 360, "height": 780})
    shoot(page, "billing-narrow", full_page=True)
    page.goto("/settings/usage")
    shoot(page, "usage-narrow", full_page=True)
