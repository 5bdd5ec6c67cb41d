"""The admin panel: platform admins see it, for everybody else there is no such page."""

import uuid

from flask import Flask, url_for
from sqlalchemy.orm import Session

from tests.web.conftest import Browser
from tests.web.test_pages import check
from webapp.models import Database, Operation


def addresses(app: Flask) -> list[tuple[str, str]]:
    """Method and address of every route of the panel, for a thing that is not there."""
    found = []
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if rule.rule.startswith("/admin"):
                values = {name: "csv" if name == "form" else uuid.uuid4() for name in rule.arguments}
                address = url_for(rule.endpoint, **values)
                found += [(method, address) for method in rule.methods & {"GET", "POST"}]
    return found


def test_nobody_else_learns_that_there_is_a_panel(app: Flask, alice: Browser, anonymous: Browser) -> None:
    assert len(addresses(app)) > 0
    for method, address in addresses(app):
        ask = "post" if method == "POST" else "get"
        assert getattr(alice, ask)(address).status_code == 404, address
        assert getattr(anonymous, ask)(address).status_code == (401 if ask == "post" else 303), address
    assert "/admin" not in alice.page("/databases")


def test_an_admin_sees_every_page_of_it(app: Flask, root: Browser, shop: Database) -> None:
    pages = [address for method, address in addresses(app) if method == "GET"]
    assert "/admin" in pages
    for address in pages:
        response = root.get(address)
        assert response.status_code in (200, 404), address
        if response.status_code == 200 and response.mimetype == "text/html":
            check(response.get_data(as_text=True), address)
        response.close()
    assert 'href="/admin"' in root.page("/databases")


def test_the_overview_counts_and_names_the_latest_failure(root: Browser, shop: Database, session: Session) -> None:
    page = root.page("/admin")
    assert "1 failed" not in page
    assert "none failed" in page
    operation = session.query(Operation).one()
    operation.state, operation.error_message = "failed", "PgBouncer was not there."
    session.commit()
    page = root.page("/admin")
    assert "1 failed" in page
    assert "PgBouncer was not there." in page


def test_the_overview_says_which_host_is_not_well(root: Browser, shop: Database, session: Session) -> None:
    shop.host.state = "offline"
    session.add(shop.host)
    session.commit()
    page = root.page("/admin")
    assert "local is not well" in page
    assert "The host is offline." in page
