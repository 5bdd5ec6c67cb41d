"""The backups page, import, schedule, recently deleted, protection and clone, as people use them."""

import io
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.support.rows import DUMP, make_backup
from tests.web.conftest import Browser
from webapp.config import settings
from webapp.models import Backup, Database, FinalBackup, Operation
from webapp.services import spool


@pytest.fixture(autouse=True)
def spooled(app: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "spool_dir", tmp_path)


@pytest.fixture
def backup(session: Session, shop: Database) -> Backup:
    return make_backup(session, shop)


def at(shop: Database, rest: str = "") -> str:
    return f"/databases/{shop.id}/backups{rest}"


def test_a_backup_is_started_and_then_listed(alice: Browser, shop: Database, worker: ScriptedWorker) -> None:
    assert "No backup yet" in alice.page(at(shop))
    assert alice.post(at(shop)).status_code == 303
    assert "Backing up" in alice.page(at(shop))
    worker.play_all()
    page = alice.page(at(shop))
    assert "Manual" in page
    assert ".sql.gz" in page
    assert "Newest" in alice.page(f"/databases/{shop.id}")


def test_who_may_not_see_it(bob: Browser, alice: Browser, shop: Database, backup: Backup) -> None:
    for path in ("", f"/{backup.filename}", f"/{backup.filename}/restore"):
        assert bob.get(at(shop, path)).status_code == 404
    assert bob.post(at(shop)).status_code == 404
    assert bob.post(f"/databases/{shop.id}/protection", protected="true").status_code == 404
    assert alice.get(at(shop, "/nonsense")).status_code == 400


def test_download_at_once_or_after_a_copy(
    alice: Browser, shop: Database, backup: Backup, session: Session, worker: ScriptedWorker
) -> None:
    with alice.get(at(shop, f"/{backup.filename}")) as here:
        assert (here.status_code, here.get_data()) == (200, DUMP)
    spool.copy(backup.id).unlink()
    queued = alice.get(at(shop, f"/{backup.filename}"))
    assert queued.status_code == 303
    assert "Copying the backup from its host" in alice.page(queued.headers["Location"])
    worker.play_all()
    assert "Download it" in alice.page(queued.headers["Location"])


def test_a_restore_wants_the_name(
    alice: Browser, shop: Database, backup: Backup, session: Session, worker: ScriptedWorker
) -> None:
    path = at(shop, f"/{backup.filename}/restore")
    assert "safety backup" in alice.page(path)
    assert alice.post(path, confirmation="other").status_code == 400
    assert alice.post(path, confirmation="shop").status_code == 303
    worker.play_all()
    assert "Safety" in alice.page(at(shop))
    session.refresh(shop)
    assert shop.status == "active"


def test_delete_wants_the_name(alice: Browser, shop: Database, backup: Backup, worker: ScriptedWorker) -> None:
    path = at(shop, f"/{backup.filename}/delete")
    assert alice.post(path, confirmation="shop").status_code == 400
    assert alice.post(path, confirmation=backup.filename).status_code == 303
    worker.play_all()
    assert backup.filename not in alice.page(at(shop)).replace(f"{backup.filename}/", "")


def test_import(alice: Browser, shop: Database, session: Session) -> None:
    def send(confirmation: str, name: str = "dump.sql") -> int:
        return alice.post(at(shop, "/import"), confirmation=confirmation, file=(io.BytesIO(DUMP), name)).status_code

    assert send("other") == 400
    assert send("shop", "x" * 256) == 400
    assert list(spool.uploads().iterdir()) == []
    assert send("shop") == 303
    (operation,) = session.scalars(select(Operation).where(Operation.kind == "backup.restore"))
    assert spool.upload(operation.params["upload_id"]).read_bytes() == DUMP


def test_schedule(alice: Browser, shop: Database) -> None:
    assert alice.post(at(shop, "/schedule"), hour_utc="5", every_hours="12", retention_days="14").status_code == 303
    page = alice.page(at(shop))
    assert 'value="14"' in page
    assert "schedule off" in alice.page(f"/databases/{shop.id}")
    assert alice.post(at(shop, "/schedule"), hour_utc="5", every_hours="12", retention_days="9999").status_code == 403
    assert alice.post(at(shop, "/schedule"), hour_utc="x").status_code == 400


def test_protection_refuses_a_deletion(alice: Browser, shop: Database, session: Session) -> None:
    assert alice.post(f"/databases/{shop.id}/protection", protected="true").status_code == 303
    assert alice.post(f"/databases/{shop.id}/delete", confirmation="shop").status_code == 409
    alice.post(f"/databases/{shop.id}/protection", protected="false")
    assert alice.post(f"/databases/{shop.id}/delete", confirmation="shop").status_code == 303


def test_a_deleted_database_comes_back(
    alice: Browser, bob: Browser, shop: Database, session: Session, worker: ScriptedWorker
) -> None:
    shop.applied_generation = shop.generation
    session.commit()
    assert "Nothing here" in alice.page("/databases/deleted")
    alice.post(f"/databases/{shop.id}/delete", confirmation="shop")
    worker.play_all()
    assert "Bring Shop back" in alice.page("/databases/deleted")
    assert "Nothing here" in bob.page("/databases/deleted")
    assert bob.post(f"/databases/{shop.id}/undelete").status_code == 404
    assert alice.post(f"/databases/{shop.id}/undelete").status_code == 303
    worker.play_all()
    session.refresh(shop)
    assert (shop.status, shop.deleted_at) == ("active", None)


def test_without_a_final_backup_only_when_it_is_typed(alice: Browser, shop: Database, session: Session) -> None:
    shop.applied_generation = shop.generation
    session.commit()
    path = f"/databases/{shop.id}/delete"
    assert "Delete without a final backup" in alice.page(path)
    assert alice.post(path, confirmation="shop", no_backup="yes").status_code == 400
    assert alice.post(path, confirmation="shop", no_backup="no backup").status_code == 303
    assert session.scalars(select(FinalBackup)).all() == []


def test_clone(alice: Browser, shop: Database, backup: Backup, session: Session, worker: ScriptedWorker) -> None:
    path = f"/databases/{shop.id}/clone"
    assert backup.filename in alice.page(path)
    assert alice.post(path, display_name="").status_code == 400
    made = alice.post(path, display_name="Shop copy", backup=backup.filename)
    assert made.status_code == 303
    worker.play_all()
    assert "Database cloned" in alice.page(made.headers["Location"])
