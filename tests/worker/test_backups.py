"""Backups by real workers over playbooks that pretend: what each kind does, and what is there after a failure."""

import gzip
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.rows import make_database, make_endpoint, make_user
from tests.worker.conftest import Workers, services_of, wait_until
from tests.worker.test_kill import kill
from webapp.models import Backup, Database, Host, Operation, WebhookDelivery
from webapp.services import backups, clones, downloads, drills, imports, spool
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import DatabaseSpec

Ended = Callable[[Operation, str], None]
FAILED = {"code": "dump_failed", "message": "pg_dump ended early.", "retryable": False, "step": "Dump"}


@pytest.fixture(autouse=True)
def configured(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The services of this process see the workers' home."""
    with services_of(workers.home, monkeypatch):
        yield


@pytest.fixture
def shop(session: Session, host: Host, workers: Workers) -> Database:
    """An active database that holds something."""
    database = make_database(session, host, make_user(session), status="active", name="shop")
    database.applied_generation = database.generation
    session.commit()
    workers.flag("data-shop").write_text("one two three")
    return database


@pytest.fixture
def started(workers: Workers) -> Workers:
    workers.start(program="tests.worker.backup_program")
    return workers


@pytest.fixture
def ended(session: Session) -> Ended:
    """Commit, and wait until the operation has ended so."""

    def wait(operation: Operation, state: str) -> None:
        session.commit()

        def holds() -> bool:
            session.rollback()
            session.refresh(operation)
            return operation.state == state

        wait_until(holds, timeout_s=180)
        session.expire_all()

    return wait


def backed_up(session: Session, shop: Database, ended: Ended) -> Backup:
    """A finished backup of `shop`."""
    operation = backups.create_backup(session, SYSTEM, shop)
    ended(operation, "succeeded")
    return session.get_one(Backup, uuid.UUID(operation.params["backup_id"]))


def stored(workers: Workers, backup: Backup) -> bytes:
    """What a backup's file holds."""
    return gzip.decompress((workers.pretend / "store" / str(backup.database_id) / backup.filename).read_bytes())


def in_store(workers: Workers) -> list[str]:
    return sorted(file.name for file in workers.pretend.glob("store/*/*"))


def test_it_works(started: Workers, session: Session, shop: Database, ended: Ended) -> None:
    backup = backed_up(session, shop, ended)
    assert (backup.state, backup.kind, backup.manifest and backup.manifest["rows"]) == ("available", "manual", 3)
    file = started.pretend / "store" / str(shop.id) / backup.filename
    assert gzip.decompress(file.read_bytes()) == b"one two three"
    assert (backup.size_bytes, len(backup.sha256 or "")) == (file.stat().st_size, 64)
    assert [listed.id for listed in backups.list_backups(session, shop)] == [backup.id]


def test_a_dump_that_failed_is_never_listed_and_is_told(
    started: Workers, session: Session, shop: Database, ended: Ended
) -> None:
    make_endpoint(session, shop.owner, "backup.failed")
    started.flag("backup-error.json").write_text(json.dumps(FAILED))
    operation = backups.create_backup(session, SYSTEM, shop)
    ended(operation, "failed")
    assert backups.list_backups(session, shop) == []
    row = session.scalars(select(Backup)).one()
    assert (row.state, row.error, operation.error_step) == ("failed", "pg_dump ended early. (dump_failed)", "Dump")
    assert shop.status == "active"
    told = session.scalars(select(WebhookDelivery.payload)).one()
    assert "pg_dump ended early" in told["data"]["message"]


def test_a_restore_replaces_everything_after_a_safety_backup(
    started: Workers, session: Session, shop: Database, ended: Ended
) -> None:
    backup = backed_up(session, shop, ended)
    started.flag("data-shop").write_text("something else")
    operation = backups.restore_backup(session, SYSTEM, shop, backup)
    assert shop.status == "restoring"
    ended(operation, "succeeded")
    assert started.flag("data-shop").read_text() == "one two three"
    assert shop.status == "active"
    safety, _ = backups.list_backups(session, shop)
    assert safety.kind == "safety"
    assert (
        gzip.decompress((started.pretend / "store" / str(shop.id) / safety.filename).read_bytes()) == b"something else"
    )


def test_a_restore_that_fails_leaves_the_database_as_it_was(
    started: Workers, session: Session, shop: Database, ended: Ended
) -> None:
    backup = backed_up(session, shop, ended)
    started.flag("data-shop").write_text("something else")
    started.flag("restore-error.json").write_text(json.dumps(FAILED))
    operation = backups.restore_backup(session, SYSTEM, shop, backup)
    ended(operation, "failed")
    assert (shop.status, started.flag("data-shop").read_text()) == ("active", "something else")
    assert [listed.kind for listed in backups.list_backups(session, shop)] == ["safety", "manual"]


def test_a_database_that_cannot_be_dumped_is_restored_and_kept_aside(
    started: Workers, session: Session, shop: Database, ended: Ended
) -> None:
    make_endpoint(session, shop.owner, "backup.failed")
    backup = backed_up(session, shop, ended)
    started.flag("data-shop").write_text("damaged")
    started.flag("backup-error.json").write_text(json.dumps(FAILED))
    operation = backups.restore_backup(session, SYSTEM, shop, backup)
    ended(operation, "succeeded")
    assert (shop.status, started.flag("data-shop").read_text()) == ("active", "one two three")
    assert started.flag("kept-shop").read_text() == "damaged"
    assert [listed.kind for listed in backups.list_backups(session, shop)] == ["manual"]
    told = session.scalars(select(WebhookDelivery.payload)).one()["data"]["message"]
    assert "pg_dump ended early" in told
    assert "kept on the host" in told
    safety = session.scalars(select(Backup).where(Backup.kind == "safety")).one()
    assert safety.state == "failed"


def test_what_cannot_be_opened_here_is_refused_before_anything_is_done(
    started: Workers, session: Session, shop: Database, ended: Ended
) -> None:
    backup = backed_up(session, shop, ended)
    backup.encrypted = True
    operation = backups.restore_backup(session, SYSTEM, shop, backup)
    ended(operation, "failed")
    assert "DBHOST_BACKUP_AGE_IDENTITY" in (operation.error_message or "")
    assert [listed.kind for listed in backups.list_backups(session, shop)] == ["manual"]


def test_an_upload_is_restored_and_goes(started: Workers, session: Session, shop: Database, ended: Ended) -> None:
    upload = spooled(b"from elsewhere")
    operation = imports.restore_upload(session, SYSTEM, shop, upload)
    ended(operation, "succeeded")
    assert started.flag("data-shop").read_text() == "from elsewhere"
    assert not spool.upload(upload.id).exists()


def spooled(content: bytes) -> imports.Upload:
    spool.ensure()
    upload = imports.Upload(uuid.uuid4(), "dump.sql", len(content), hashlib.sha256(content).hexdigest())
    spool.upload(upload.id).write_bytes(content)
    return upload


def test_a_copy_comes_to_the_spool_and_a_damaged_one_does_not(
    started: Workers, session: Session, shop: Database, ended: Ended
) -> None:
    backup = backed_up(session, shop, ended)
    ended(downloads.queue_copy(session, SYSTEM, shop, backup), "succeeded")
    copy = downloads.ready_copy(backup)
    assert copy is not None
    assert gzip.decompress(copy.read_bytes()) == b"one two three"
    copy.unlink()
    (started.pretend / "store" / str(shop.id) / backup.filename).write_bytes(b"damaged")
    operation = downloads.queue_copy(session, SYSTEM, shop, backup)
    ended(operation, "failed")
    assert "damaged" in (operation.error_message or "")
    assert list(spool.copies().iterdir()) == []


def test_delete_removes_the_file_and_the_row(started: Workers, session: Session, shop: Database, ended: Ended) -> None:
    backup = backed_up(session, shop, ended)
    ended(backups.delete_backup(session, SYSTEM, shop, backup), "succeeded")
    assert (in_store(started), session.scalars(select(Backup)).all()) == ([], [])


def test_a_drill_proves_or_is_loud(started: Workers, session: Session, shop: Database, ended: Ended) -> None:
    make_endpoint(session, shop.owner, "backup.failed")
    backup = backed_up(session, shop, ended)
    ended(drills.queue_drill(session, SYSTEM, shop, backup), "succeeded")
    assert drills.last_proven(session, shop) is backup
    started.flag("drill-differs").touch()
    operation = drills.queue_drill(session, SYSTEM, shop, backup)
    ended(operation, "failed")
    assert "Table t has 1 row, not 2." in (backup.drill_error or "")
    assert "proven restorable" in session.scalars(select(WebhookDelivery.payload)).one()["data"]["message"]
    assert started.flag("data-shop").read_text() == "one two three"


def test_a_clone_has_the_data_of_now(started: Workers, session: Session, shop: Database, ended: Ended) -> None:
    owner = Actor("user", shop.owner)
    operation = clones.clone_database(session, owner, shop, DatabaseSpec("Copy", "copy"))
    ended(operation, "succeeded")
    assert started.flag("data-copy").read_text() == "one two three"
    assert [applied["state"] for applied in started.applied()] == ["closed", "present"]
    assert operation.database.status == "active"
    assert len(backups.list_backups(session, shop)) == 1


def test_a_killed_workers_dump_is_made_anew(workers: Workers, session: Session, shop: Database, ended: Ended) -> None:
    workers.flag("backup-wait").touch()
    first = workers.start(program="tests.worker.backup_program")
    operation = backups.create_backup(session, SYSTEM, shop)
    session.commit()
    wait_until(workers.flag("backup-entered").exists)
    kill(first)
    workers.flag("backup-wait").unlink()
    workers.start(program="tests.worker.backup_program")
    ended(operation, "succeeded")
    (backup,) = backups.list_backups(session, shop)
    assert (
        gzip.decompress((workers.pretend / "store" / str(shop.id) / backup.filename).read_bytes()) == b"one two three"
    )
