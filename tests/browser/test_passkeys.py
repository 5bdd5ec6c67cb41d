"""Passkeys with Chromium's virtual authenticator: added, used as second step, alone, and to confirm."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser.conftest import PASSWORD, Site, shoot
from webapp.models import Passkey, User

pytestmark = pytest.mark.browser
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@pytest.fixture
def page(site: Site, open_page: Callable[..., Page]) -> Page:
    """A page by a name, since browsers know no passkeys for an IP address, with an authenticator."""
    opened = open_page(base_url=f"http://localhost:{urlsplit(site.url).port}")
    devtools = opened.context.new_cdp_session(opened)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return opened


def first_step(page: Page, user: User) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_it_works(site: Site, page: Page) -> None:
    user = site.user()
    first_step(page, user)
    page.get_by_role("heading", name="Databases", exact=True).wait_for()
    page.goto("/settings/security")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("shown this once").wait_for()
    expect(page.locator(".codes li")).to_have_count(10)
    shoot(page, "security", full_page=True)
    sign_out(page)
    first_step(page, user)
    shoot(page, "second-step")
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("heading", name="Databases", exact=True).wait_for()
    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("heading", name="Databases", exact=True).wait_for()
    page.goto("/confirm?next=/settings")
    shoot(page, "confirm")
    page.get_by_role("button", name="Confirm with a passkey").click()
    page.wait_for_url("**/settings")
    with site.sessions() as session:
        [kept] = session.scalars(select(Passkey).where(Passkey.user_id == user.id))
        assert (kept.label, kept.last_used_at is not None) == ("Laptop", True)
    page.get_by_role("link", name="Security", exact=True).click()  # the page may still be loading: no goto
    page.get_by_role("button", name="Remove Laptop").click()
    page.get_by_text("A passkey was removed").wait_for()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").first.click()
    page.get_by_role("heading", name="Sign in to DBHost").wait_for()
