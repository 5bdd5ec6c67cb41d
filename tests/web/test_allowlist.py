"""The allowlist's card on the detail page."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import Browser
from webapp.models import AllowlistEntry, AuditEvent, Database


def listed(session: Session) -> dict[str, str]:
    session.expire_all()
    return {str(entry.cidr): entry.label for entry in session.scalars(select(AllowlistEntry))}


def test_it_works(session: Session, alice: Browser, worker: ScriptedWorker, shop: Database) -> None:
    path = f"/databases/{shop.id}"
    assert "Open to every network" in alice.page(path)
    response = alice.post(f"{path}/allowlist", cidr="203.0.113.0/24", label="<Office>")
    assert response.headers["Location"] == path
    assert "Changing the allowlist" in alice.page(path)
    worker.play_all()
    page = alice.page(path)
    assert "Allowlist changed in" in page
    assert "&lt;Office&gt;" in page
    assert "Without its last network" in page
    assert "Open to every network" not in page
    assert alice.post(f"{path}/allowlist/remove", cidr="203.0.113.0/24").headers["Location"] == path
    worker.play_all()
    assert listed(session) == {}
    assert session.scalars(select(AuditEvent.action)).all().count("database.allowlist") == 2
    assert "Changed the allowlist<" in alice.page(path)


def test_my_address_is_offered_until_it_is_listed(
    session: Session, alice: Browser, worker: ScriptedWorker, shop: Database
) -> None:
    path = f"/databases/{shop.id}"
    assert "Add my address" in alice.page(path)
    assert 'value="127.0.0.1/32"' in alice.page(path)
    alice.post(f"{path}/allowlist", cidr="127.0.0.1/32", label="alice@example.com")
    assert f'action="/databases/{shop.id}/allowlist' not in alice.page(path)
    worker.play_all()
    assert listed(session) == {"127.0.0.1/32": "alice@example.com"}
    assert "Add my address" not in alice.page(path)


def test_everybody_is_warned_of(alice: Browser, worker: ScriptedWorker, shop: Database) -> None:
    alice.post(f"/databases/{shop.id}/allowlist", cidr="0.0.0.0/0")
    worker.play_all()
    page = alice.page(f"/databases/{shop.id}")
    assert "Open to everybody" in page
    assert "every IPv4 address" in page


@pytest.mark.parametrize(
    ("form", "field", "words"),
    [
        ({"cidr": "10.0.0.1/8"}, "cidr", "Write 10.0.0.0/8"),
        ({"cidr": "<b>"}, "cidr", "&lt;b&gt; is not a network"),
        ({"cidr": "10.0.0.0/8", "label": "x" * 61}, "network-label", "Use up to 60 characters"),
        ({"cidr": "192.0.2.0/24"}, "cidr", "on the list already"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    session: Session,
    alice: Browser,
    worker: ScriptedWorker,
    shop: Database,
    form: dict[str, str],
    field: str,
    words: str,
) -> None:
    alice.post(f"/databases/{shop.id}/allowlist", cidr="192.0.2.0/24")
    worker.play_all()
    response = alice.post(f"/databases/{shop.id}/allowlist", **form)
    page = response.get_data(as_text=True)
    assert response.status_code == 400
    assert words in page
    assert f'id="{field}-error"' in page
    assert listed(session) == {"192.0.2.0/24": ""}


def test_refusals(session: Session, alice: Browser, bob: Browser, shop: Database) -> None:
    path = f"/databases/{shop.id}/allowlist"
    assert bob.post(path, cidr="10.0.0.0/8").status_code == 404
    assert bob.post(f"{path}/remove", cidr="10.0.0.0/8").status_code == 404
    assert alice.client.post(path, data={"cidr": "10.0.0.0/8"}).status_code == 400
    gone = alice.post(f"{path}/remove", cidr="10.0.0.0/8")
    assert gone.status_code == 409
    assert "10.0.0.0/8 is not on the allowlist." in gone.get_data(as_text=True)
    alice.post(f"/databases/{shop.id}/stop")
    busy = alice.post(path, cidr="10.0.0.0/8")
    assert busy.status_code == 409
    assert "has not ended yet" in busy.get_data(as_text=True)
    assert listed(session) == {}


def test_an_admin_may_change_it(session: Session, root: Browser, shop: Database) -> None:
    assert root.post(f"/databases/{shop.id}/allowlist", cidr="10.0.0.0/8").status_code == 303
    assert listed(session) == {"10.0.0.0/8": ""}
