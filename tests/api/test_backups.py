"""Backups by the API: list, create, download, delete, restore, upload."""

import io
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set, problem
from tests.api.worker import ScriptedWorker
from tests.support.rows import DUMP, make_backup
from webapp.models import AuditEvent, Backup, Database, Operation
from webapp.services import spool

MISSING = "20200101_000000.sql.gz"


def address(shop: Database, filename: str = "") -> str:
    return f"/api/v1/databases/{shop.id}/backups" + (f"/{filename}" if filename else "")


def file(content: bytes = DUMP, name: str = "dump.sql.gz") -> dict[str, object]:
    return {"data": {"file": (io.BytesIO(content), name)}}


def test_it_starts_at_once_and_is_listed_when_it_is_whole(
    alice: Caller, shop: Database, idle_worker: ScriptedWorker
) -> None:
    started = alice.post(address(shop))
    assert started.status_code == 202
    body = started.get_json()
    assert (body["message"], body["operation"]["kind"]) == ("Backup started", "backup.create")
    assert started.headers["Location"] == f"/api/v1/operations/{body['operation']['id']}"
    assert alice.get(address(shop)).get_json() == []
    idle_worker.play_once()
    (listed,) = alice.get(address(shop)).get_json()
    assert {"filename", "sizeBytes", "sizePretty", "createdAt", "kind", "sha256", "expiresAt"} <= set(listed)
    assert (listed["sizeBytes"], listed["sizePretty"], listed["kind"]) == (len(DUMP), f"{len(DUMP)} B", "manual")


def test_one_that_failed_is_not_listed(alice: Caller, shop: Database, idle_worker: ScriptedWorker) -> None:
    idle_worker.outcome = lambda _operation: "failed"
    alice.post(address(shop))
    idle_worker.play_once()
    assert alice.get(address(shop)).get_json() == []


def test_the_same_key_starts_one(alice: Caller, shop: Database, session: Session) -> None:
    answers = [alice.post(address(shop), headers={"Idempotency-Key": "k"}).get_json() for _ in range(2)]
    assert answers[0]["operation"]["id"] == answers[1]["operation"]["id"]
    assert len(session.scalars(select(Operation).where(Operation.kind == "backup.create")).all()) == 1


def test_only_an_active_database_is_backed_up(alice: Caller, shop: Database, session: Session) -> None:
    session.execute(update(Database).values(status="stopped"))
    session.commit()
    problem(alice.post(address(shop)), 409, "DATABASE_NOT_ACTIVE")


def test_newest_first(alice: Caller, shop: Database, backup: Backup, session: Session) -> None:
    older = make_backup(session, shop, filename="20260101_020000.sql.gz", kind="scheduled")
    assert [row["filename"] for row in alice.get(address(shop)).get_json()] == [backup.filename, older.filename]


def test_a_download_is_the_file_whole_or_in_part(alice: Caller, shop: Database, backup: Backup) -> None:
    with alice.get(address(shop, backup.filename)) as whole:
        content = whole.get_data()
    assert (whole.status_code, whole.content_type, content) == (200, "application/gzip", DUMP)
    assert whole.headers["Content-Disposition"] == f"attachment; filename={backup.filename}"
    wanted = {"Range": "bytes=2-4", "If-Range": whole.headers["ETag"]}
    with alice.get(address(shop, backup.filename), headers=wanted) as part:
        assert (part.status_code, part.get_data()) == (206, DUMP[2:5])
    assert whole.headers["ETag"] == f'"{backup.sha256}"'


def test_a_download_is_recorded(alice: Caller, shop: Database, backup: Backup, session: Session) -> None:
    alice.get(address(shop, backup.filename)).close()
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "backup.download")).one()
    assert event.subject == backup.filename


def test_what_lies_on_its_host_is_copied_first(
    alice: Caller, shop: Database, session: Session, idle_worker: ScriptedWorker, app: Flask
) -> None:
    backup = make_backup(session, shop, copied=False)
    waiting = alice.get(address(shop, backup.filename), headers={"Prefer": "respond-async"})
    assert (waiting.status_code, waiting.get_json()["kind"]) == (202, "backup.fetch")
    joined = alice.get(address(shop, backup.filename), headers={"Prefer": "respond-async"})
    assert joined.get_json()["id"] == waiting.get_json()["id"]
    idle_worker.play_once()
    with alice.get(address(shop, backup.filename)) as copied:
        assert copied.get_data() == DUMP


def test_a_copy_waits_for_what_is_under_way(
    alice: Caller, shop: Database, session: Session, idle_worker: ScriptedWorker
) -> None:
    backup = make_backup(session, shop, copied=False)
    started = alice.post(address(shop)).get_json()["operation"]
    told = alice.get(address(shop, backup.filename), headers={"Prefer": "respond-async"})
    assert (told.status_code, told.get_json()["id"]) == (202, started["id"])
    idle_worker.play_once()
    after = alice.get(address(shop, backup.filename), headers={"Prefer": "respond-async"})
    assert (after.status_code, after.get_json()["kind"]) == (202, "backup.fetch")


@pytest.mark.parametrize("name", ["../../etc/passwd", "dump.sql.gz", "20261124_020000.sql", "%00"])
def test_a_name_that_is_none(alice: Caller, bob: Caller, shop: Database, name: str) -> None:
    for method in ("GET", "DELETE", "POST"):
        refused = alice.call(method, address(shop, name))
        assert refused.status_code in (400, 404, 405)
        if refused.status_code == 400:
            problem(refused, 400, "INVALID_BACKUP_FILENAME")
    problem(bob.get(address(shop, "dump.sql.gz")), 404, "DATABASE_NOT_FOUND")


def test_missing_ones(alice: Caller, shop: Database) -> None:
    for method in ("GET", "DELETE", "POST"):
        problem(alice.call(method, address(shop, MISSING)), 404, "BACKUP_NOT_FOUND")
        problem(alice.call(method, address(shop, "nonsense")), 400, "INVALID_BACKUP_FILENAME")


def test_delete(alice: Caller, shop: Database, backup: Backup, worker: ScriptedWorker) -> None:
    assert alice.delete(address(shop, backup.filename)).status_code == 204
    problem(alice.get(address(shop, backup.filename)), 404, "BACKUP_NOT_FOUND")


def test_a_restore_takes_a_safety_backup(
    alice: Caller, shop: Database, backup: Backup, worker: ScriptedWorker, session: Session
) -> None:
    answered = alice.post(address(shop, backup.filename))
    assert (answered.status_code, set(answered.get_json())) == (200, {"message"})
    assert sorted(row["kind"] for row in alice.get(address(shop)).get_json()) == ["manual", "safety"]
    session.refresh(shop)
    assert shop.status == "active"


def test_nothing_else_changes_a_database_that_is_being_restored(
    alice: Caller, shop: Database, backup: Backup, queued: Operation, idle_worker: ScriptedWorker
) -> None:
    problem(alice.post(address(shop, backup.filename)), 409, "OPERATION_IN_PROGRESS")
    idle_worker.play_once()
    alice.post(f"/api/v1/databases/{shop.id}/start", headers={"Prefer": "respond-async"})
    idle_worker.play_once()
    asynchronously = {"Prefer": "respond-async"}
    assert alice.post(address(shop, backup.filename), headers=asynchronously).status_code == 202
    for change in ("stop", "restart", "reset-password"):
        assert alice.post(f"/api/v1/databases/{shop.id}/{change}").status_code == 409
    problem(alice.delete(f"/api/v1/databases/{shop.id}"), 409, "OPERATION_IN_PROGRESS")


def test_an_upload_is_restored(
    alice: Caller, shop: Database, worker: ScriptedWorker, session: Session, tmp_path: Path
) -> None:
    answered = alice.call("POST", address(shop, "restore"), **file(name="C:\\dumps\\shop.dump"))
    assert answered.status_code == 200, answered.get_data(as_text=True)
    assert "shop.dump" in answered.get_json()["message"]
    params = session.scalars(select(Operation.params).where(Operation.kind == "backup.restore")).one()
    assert params["size_bytes"] == str(len(DUMP))
    assert spool.upload(params["upload_id"]).read_bytes() == DUMP


def test_the_same_upload_with_the_same_key_is_one(
    alice: Caller, shop: Database, worker: ScriptedWorker, session: Session
) -> None:
    key = {"headers": {"Idempotency-Key": "k"}}
    first, again = (alice.call("POST", address(shop, "restore"), **file(), **key) for _ in range(2))
    assert (first.status_code, again.headers.get("Idempotency-Replayed")) == (200, "true")
    other = alice.call("POST", address(shop, "restore"), **file(b"another"), **key)
    problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert len(list(spool.uploads().iterdir())) == 1


def test_uploads_that_are_none(alice: Caller, shop: Database) -> None:
    problem(alice.post(address(shop, "restore")), 400, "MISSING_FILE")
    problem(alice.call("POST", address(shop, "restore"), data={"other": "x"}), 400, "MISSING_FILE")
    problem(alice.call("POST", address(shop, "restore"), **file(b"")), 400, "MISSING_FILE")
    problem(alice.call("POST", address(shop, "restore"), **file(name="x" * 256)), 400, "INVALID_FILENAME")
    assert list(spool.uploads().iterdir()) == []


def test_an_upload_over_the_limit_leaves_nothing(
    make_api: Set, alice: Caller, bob: Caller, shop: Database, app: Flask
) -> None:
    app.extensions["dbhost"].settings.max_upload_bytes = 1024
    problem(alice.call("POST", address(shop, "restore"), **file(b"x" * 1025)), 413, "PAYLOAD_TOO_LARGE")
    problem(alice.call("POST", address(shop, "restore"), **file(b"x" * 100_000)), 413, "PAYLOAD_TOO_LARGE")
    problem(bob.call("POST", address(shop, "restore"), **file(b"x" * 1025)), 404, "DATABASE_NOT_FOUND")
    assert list(spool.uploads().iterdir()) == []
