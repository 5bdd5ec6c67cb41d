"""What the page of a database says about its storage."""

from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import Browser
from webapp.models import Database


def test_read_only_and_how_to_free_space(session: Session, alice: Browser, shop: Database) -> None:
    path = f"/databases/{shop.id}"
    assert "Read-only" not in alice.page(path)
    shop.storage_state = "read_only"
    session.commit()
    page = alice.page(path)
    assert "Read-only: over the storage limit" in page
    assert "BEGIN READ WRITE; TRUNCATE old_table; COMMIT;" in page
    assert "Open for cleaning up" not in page


def test_shut_and_opened_for_cleaning_up(
    session: Session, alice: Browser, bob: Browser, shop: Database, worker: ScriptedWorker
) -> None:
    path = f"/databases/{shop.id}"
    assert alice.post(f"{path}/clean-up").status_code == 409
    shop.storage_state = "shut"
    session.commit()
    assert "Shut: it went on growing over its storage limit" in alice.page(path)
    assert bob.post(f"{path}/clean-up").status_code == 404
    assert alice.post(f"{path}/clean-up").headers["Location"] == path
    assert "Opening it for cleaning up" in alice.page(path)
    worker.play_all()
    session.expire_all()
    assert (shop.storage_state, shop.status) == ("read_only", "active")
    assert "Read-only: over the storage limit" in alice.page(path)
