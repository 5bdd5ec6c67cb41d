"""Every page and form by everybody who may ask for it. A route without a rule fails, a forgotten check raises."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from tests.web import guard_rules as rules
from tests.web.conftest import Browser
from tests.web.guard_routes import routes
from tests.web.guard_scene import Scene, make_scene
from webapp.http import Resources
from webapp.models import Database

PARTS = 3  # for as many processes; all of it in one takes minutes on a busy machine
PLACE = re.compile(r"<(?:\w+:)?(\w+)>")


@pytest.fixture
def scene(app: Flask, session: Session, shop: Database, alice: Browser, bob: Browser, root: Browser, signed_in: Any,
          anonymous: Browser) -> Scene:  # fmt: skip
    app.extensions["dbhost"] = _without_limits(app.extensions["dbhost"])
    return make_scene(session, shop, signed_in, alice, bob, root, anonymous)


def _without_limits(held: Resources) -> Resources:
    rates = dict.fromkeys(("sign_in_rate", "account_rate", "mail_rate"), "9999 per minute")
    return replace(held, settings=held.settings.model_copy(update=rates))


@contextmanager
def taken_back(app: Flask) -> Iterator[Connection]:
    """Whatever a route commits in here is undone at the end."""
    held: Resources = app.extensions["dbhost"]
    with held.engine.connect() as connection, connection.begin() as transaction:
        inside = sessionmaker(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
        app.extensions["dbhost"] = replace(held, sessions=inside)
        try:
            yield connection
        finally:
            app.extensions["dbhost"] = held
            transaction.rollback()


def prepare(connection: Connection, route: str, scene: Scene) -> None:
    for statement in filter(None, rules.PREPARED.get(route, "").split(";")):
        connection.execute(text(statement), scene.values)


def ask(scene: Scene, route: str, address: str, person: str, *, token: bool = True) -> TestResponse:
    """Send the route's request as the page would, or without the CSRF token, from a browser nobody used yet."""
    method = route.partition(" ")[0]
    path = PLACE.sub(lambda found: str(scene.values[found[1]]), address)
    form = rules.sent(route, scene.values)
    if token and method == "POST":
        form["csrf_token"] = scene.tokens[person]
    return scene.browser(person).open(path, method=method, data=form or None)


@pytest.mark.parametrize("part", range(PARTS))
def test_everybody_gets_what_the_rule_says(app: Flask, scene: Scene, part: int) -> None:
    wrong = []
    for route, address in islice(routes(app).items(), part, None, PARTS):
        for person, expected in zip(rules.PEOPLE, rules.RULES[route], strict=True):
            with taken_back(app) as connection:
                prepare(connection, route, scene)
                with ask(scene, route, address, person) as response:
                    if (got := rules.answer(response)) != expected:
                        wrong.append(f"{route} by {person}: {got}, not {expected}")
    assert wrong == []


def test_no_form_is_taken_without_this_browser_s_token(app: Flask, scene: Scene) -> None:
    posts = {route: address for route, address in routes(app).items() if route.startswith("POST")}
    forms = [(route, posts[route]) for route in posts if route not in rules.WITHOUT_TOKEN]
    assert len(forms) > 50
    wrong = []
    for route, address in forms:
        welcome = [person for person, got in zip(rules.PEOPLE, rules.RULES[route], strict=True) if got in (200, 303)]
        person = welcome[0] if welcome else "owner"
        with taken_back(app) as connection:
            prepare(connection, route, scene)
            with ask(scene, route, address, person, token=False) as response:
                if response.status_code != 400 or "Please try again" not in response.get_data(as_text=True):
                    wrong.append(f"{route} by {person}: {response.status_code}")
    assert wrong == []
