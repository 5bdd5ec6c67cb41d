"""A running web process, a scripted worker and Chromium. Every test has users and a browser profile of its own."""

import base64
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page
from sqlalchemy.orm import Session, sessionmaker

from tests.browser.scripted_worker import ScriptedWorker
from tests.support.cluster import Cluster
from tests.support.servers import free_ports
from tests.support.stripe_account import stripe_account
from webapp.db import make_engine, make_sessions
from webapp.models import User
from webapp.services import hosts, users
from webapp.services.actors import SYSTEM

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "tests" / "artifacts"
PASSWORD = "correct horse battery"
START_TIMEOUT_S = 60


@dataclass
class Site:
    """The web process's address, and the rows behind it."""

    url: str
    sessions: sessionmaker[Session]
    worker: ScriptedWorker

    def user(self, **values: Any) -> User:
        """A new user with the password that all have."""
        with self.sessions() as session:
            email = f"alice-{uuid.uuid4().hex[:6]}@example.com"
            user = users.create_user(session, SYSTEM, email, PASSWORD, **({"plan": "business"} | values))
            session.commit()
            return user


@pytest.fixture(scope="session")
def site(cluster: Cluster, control_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The web process as it runs in production, on a control database of its own, with the route guards on."""
    url = cluster.create_database("dashboard", control_template)
    engine = make_engine(url, patience_s=60)
    sessions = make_sessions(engine)
    with sessions() as session:
        hosts.ensure_host(session, SYSTEM, "local", "127.0.0.1", 6432)
        session.commit()
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    home = tmp_path_factory.mktemp("home")
    worker = ScriptedWorker(sessions)
    with stripe_account(f"{address}/webhooks/stripe") as account:
        values = environment(url, port, home) | account.settings
        process = subprocess.Popen([sys.executable, "-m", "webapp.serve"], cwd=ROOT, env=values)
        worker.start()
        try:
            wait_for(f"{address}/healthz", process)
            yield Site(address, sessions, worker)
        finally:
            worker.stop()
            process.terminate()
            process.wait(20)
            engine.dispose()


def environment(url: str, port: int, home: Path) -> dict[str, str]:
    """What the web process reads; nothing of the caller's own installation."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBHOST_")}
    return inherited | {
        "DATABASE_URL": url,
        "DBHOST_HOME": str(home),
        "DBHOST_WEB_PORT": str(port),
        "DBHOST_SIGN_UP": "open",
        "DBHOST_WEBHOOKS_ALLOW_PRIVATE": "true",
        "DBHOST_WEB_PROCESSES": "1",
        "DBHOST_WEB_THREADS": "16",
        "DBHOST_SECRET_KEY": "test",
        "DBHOST_TESTING": "true",
        "DBHOST_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process answers; one that has ended never will."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


@pytest.fixture
def open_page(site: Site, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open a fresh profile: `open_page(viewport={…})`. Anything that a page logs as an error fails the test."""
    complaints: list[str] = []
    contexts = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def make(**options: Any) -> Page:
        defaults = {"base_url": site.url, "viewport": {"width": 1280, "height": 860}}
        context = chromium.new_context(**{**defaults, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(site: Site, open_page: Callable[..., Page]) -> Page:
    """A signed-in page of a new user without databases."""
    opened = open_page()
    sign_in(opened, site.user())
    return opened


def sign_in(page: Page, user: User) -> None:
    page.goto("/databases")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="Databases", exact=True).wait_for()


def create(page: Page, display_name: str) -> str:
    """Create a database by the form, wait until it is there, and return the path of its page."""
    page.goto("/databases/new")
    page.get_by_label("Display name").fill(display_name)
    page.locator("#derived code").wait_for()
    page.get_by_role("button", name="Create database").click()
    page.get_by_text("Database created in").wait_for()
    return page.url


def shoot(page: Page, name: str, *, full_page: bool = False) -> None:
    """Keep a screenshot to be looked at."""
    ARTIFACTS.mkdir(exist_ok=True)
    # Hiding the caret would put a style of the test's own into the page, which its policy rightly complains of.
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=full_page, caret="initial")


def look(page: Page, name: str) -> None:
    """A screenshot, no finding of axe, and nothing wider than a small screen."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 390, "height": 800})
    width = page.evaluate("document.documentElement.scrollWidth")
    shoot(page, f"{name}-narrow", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 800})
    shoot(page, name, full_page=True)
    assert width <= 390, name
