"""Every page on a phone: nothing is cut off, nothing lies over something else, and nothing moves sideways."""

import re
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from tests.browser.conftest import ARTIFACTS
from tests.web.conftest import Browser
from tests.web.guard_routes import routes
from tests.web.guard_scene import COOKIES, Scene, make_scene
from tests.web.test_guards import ask
from webapp.models import Database

pytestmark = pytest.mark.browser
WIDTH = 390
LONG = {
    "display": "Orders of the shop in production, copied for the tests of the autumn release",
    "name": "orders-of-the-shop-in-production-copied-for-tests0",
    "email": "maximiliane.hohenstein-mustermann@department.example.com",
}
FAULTS = """width => {
  const shown = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true})
    && element.getBoundingClientRect().width > 1;
  const around = function* (element) { while ((element = element.parentElement)) yield element; };
  const style = element => getComputedStyle(element);
  const has = (element, test) => [element, ...around(element)].some(test);
  const scrolls = element => has(element, one => ['auto', 'scroll'].includes(style(one).overflowX));
  const pinned = element => has(element, one => ['fixed', 'sticky'].includes(style(one).position));
  const words = element => (element.innerText || element.name || '').trim().slice(0, 40);
  const name = element => `${element.tagName.toLowerCase()}.${element.className} "${words(element)}"`;
  const faults = [];
  const page = document.documentElement.scrollWidth;
  if (page > width) faults.push(`the page is ${page} wide`);
  const all = document.querySelectorAll('a, button, input, select, textarea, summary, .badge, .status');
  const controls = [...all].filter(element => shown(element) && !element.closest('.visually-hidden, .skip-link'));
  const boxes = controls.map(element => element.getBoundingClientRect());
  controls.forEach((element, i) => {
    const box = boxes[i];
    if (!scrolls(element) && (box.left < -1 || box.right > width + 1)) faults.push(`${name(element)} is cut off`);
    if (element.matches('button, .button, .badge, .status') && element.scrollWidth > element.clientWidth + 1)
      faults.push(`${name(element)} is too narrow for its words`);
    controls.slice(i + 1).forEach((other, j) => {
      const there = boxes[i + 1 + j];
      if (element.contains(other) || pinned(element) || pinned(other)) return;
      const across = Math.min(box.right, there.right) - Math.max(box.left, there.left);
      const down = Math.min(box.bottom, there.bottom) - Math.max(box.top, there.top);
      if (across > 2 && down > 2) faults.push(`${name(element)} lies over ${name(other)}`);
    });
  });
  return faults;
}"""


@pytest.fixture
def scene(
    session: Session, shop: Database, alice: Browser, bob: Browser, root: Browser, signed_in: Callable[..., Browser],
    anonymous: Browser,
) -> Scene:  # fmt: skip
    """One of everything, with names as long as people make them."""
    made = make_scene(session, shop, signed_in, alice, bob, root, anonymous)
    session.execute(text("UPDATE databases SET display_name = :display, name = :name"), LONG)
    session.execute(text("UPDATE users SET email = :email WHERE email = 'alice@example.com'"), LONG)
    session.commit()
    return made


@pytest.fixture
def address(app: Flask, scene: Scene) -> Iterator[str]:
    """The app, for a real browser."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def phone(chromium: Chromium) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": WIDTH, "height": 844}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.mark.parametrize("person", ["owner", "platform admin", "anonymous"])
def test_every_page_fits_a_phone(scene: Scene, address: str, phone: BrowserContext, person: str) -> None:
    enter(phone, scene, address, person)
    page, found = phone.new_page(), []
    pages = list(shown_to(scene, person))
    assert len(pages) > (2 if person == "anonymous" else 20)
    for path in pages:
        page.goto(address + path)
        shoot(page, f"phone-{person}-{path}")
        found += [f"{path}: {fault}" for fault in page.evaluate(FAULTS, WIDTH)]
    assert found == [], "\n".join(found)


def enter(phone: BrowserContext, scene: Scene, address: str, person: str) -> None:
    """Give the phone the person's cookies."""
    for name in COOKIES:
        if cookie := scene.people[person].client.get_cookie(name):
            phone.add_cookies([{"name": name, "value": cookie.value, "url": address}])


def shown_to(scene: Scene, person: str) -> Iterator[str]:
    """The path of each page that the person may see, from the app's own map."""
    for route, address in routes(scene.app).items():
        if not route.startswith("GET"):
            continue
        with ask(scene, route, address, person) as answer:
            if answer.status_code == 200 and answer.mimetype == "text/html" and b"<html" in answer.get_data():
                yield answer.request.path


def shoot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    short = re.sub(r"\W+", "-", re.sub(r"[0-9a-f-]{36}", "id", name)).strip("-")
    page.screenshot(path=ARTIFACTS / f"{short}.png", full_page=True, caret="initial")
