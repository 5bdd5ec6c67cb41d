"""Final backups by real workers over playbooks that pretend: what is kept aside, dumped, dropped, and brought back."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.support.rows import make_database, make_endpoint, make_user
from tests.worker.conftest import Workers, services_of, wait_until
from tests.worker.test_backups import FAILED, Ended, ended, shop, started, stored  # noqa: F401
from tests.worker.test_kill import kill
from webapp.models import Backup, Database, FinalBackup, Host, WebhookDelivery
from webapp.services import backups, deletions
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import OperationInProgress


@pytest.fixture(autouse=True)
def configured(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The services of this process see the workers' home."""
    with services_of(workers.home, monkeypatch):
        yield


def left(session: Session) -> list[FinalBackup]:
    """What is still to be done."""
    session.rollback()
    session.expire_all()
    return list(session.scalars(select(FinalBackup)))


def failed_once(session: Session) -> bool:
    return [row.error is not None for row in left(session)] == [True]


def test_it_works_and_comes_back(started: Workers, session: Session, shop: Database, ended: Ended) -> None:  # noqa: F811
    ended(deletions.delete_database(session, SYSTEM, shop), "succeeded")
    assert shop.deleted_at is not None
    assert not started.flag("data-shop").exists()
    wait_until(lambda: not left(session), timeout_s=180)
    assert list(started.pretend.glob("data-*")) == []
    assert [applied["state"] for applied in started.applied()] == ["absent", "absent"]
    owner = Actor("user", shop.owner)
    (found,) = deletions.list_deleted(session, owner)
    assert (found.database.id, found.final.kind, found.held, found.name_taken) == (shop.id, "final", None, False)
    ended(deletions.undelete(session, owner, shop, "shop-again"), "succeeded")
    assert (shop.deleted_at, shop.status, shop.verifier is not None) == (None, "active", True)
    assert started.flag("data-shop-again").read_text() == "one two three"
    assert started.applied()[-1]["state"] == "present"
    assert deletions.list_deleted(session, owner) == []


def test_what_fails_drops_nothing_is_told_once_and_tried_again(
    started: Workers,  # noqa: F811
    session: Session,
    shop: Database,  # noqa: F811
    ended: Ended,  # noqa: F811
) -> None:
    make_endpoint(session, shop.owner, "backup.failed")
    started.flag("backup-error.json").write_text(json.dumps(FAILED))
    ended(deletions.delete_database(session, SYSTEM, shop), "succeeded")
    wait_until(lambda: failed_once(session), timeout_s=180)
    (row,) = left(session)
    assert started.flag(f"data-{row.name}").read_text() == "one two three"
    (found,) = deletions.list_deleted(session, Actor("user", shop.owner))
    assert found.held is not None
    assert "pg_dump ended early" in (found.held.error or "")
    told = session.scalars(select(WebhookDelivery.payload)).one()["data"]["message"]
    assert "pg_dump ended early" in told
    started.flag("backup-error.json").unlink()
    row.next_attempt_at = func.now()
    session.commit()
    wait_until(lambda: not left(session), timeout_s=180)
    (found,) = deletions.list_deleted(session, Actor("user", shop.owner))
    assert (found.held, found.final.state, shop.held_as) == (None, "available", None)
    assert list(started.pretend.glob("data-*")) == []


def test_what_could_not_be_dumped_comes_back_as_it_is(
    started: Workers,  # noqa: F811
    session: Session,
    shop: Database,  # noqa: F811
    ended: Ended,  # noqa: F811
) -> None:
    started.flag("backup-error.json").write_text(json.dumps(FAILED))
    ended(deletions.delete_database(session, SYSTEM, shop), "succeeded")
    wait_until(lambda: failed_once(session), timeout_s=180)
    verifier = shop.verifier
    ended(deletions.undelete(session, Actor("user", shop.owner), shop, "shop-again"), "succeeded")
    assert started.flag("data-shop-again").read_text() == "one two three"
    assert (shop.status, shop.name, shop.verifier, shop.held_as) == ("active", "shop-again", verifier, None)
    assert left(session) == []
    assert session.scalars(select(Backup)).one().state == "failed"


def test_many_share_a_run(started: Workers, session: Session, host: Host) -> None:  # noqa: F811
    owner = make_user(session)
    crowd = [make_database(session, host, owner, status="active", name=f"crowd-{number}") for number in range(12)]
    for database in crowd:
        database.applied_generation = database.generation
        started.flag(f"data-{database.name}").write_text(database.name)
    session.commit()
    for database in crowd:
        deletions.delete_database(session, SYSTEM, database)
    session.commit()
    wait_until(lambda: not left(session), timeout_s=180)
    kept = session.scalars(select(Backup)).all()
    assert ({backup.state for backup in kept}, len(kept)) == ({"available"}, 12)
    assert list(started.pretend.glob("data-*")) == []
    assert len(started.flag("plays").read_text().split()) < 6


def test_without_one_when_it_is_skipped(started: Workers, session: Session, shop: Database, ended: Ended) -> None:  # noqa: F811
    ended(deletions.delete_database(session, SYSTEM, shop, skip_final_backup=True), "succeeded")
    assert list(started.pretend.glob("data-*")) == []
    assert left(session) == session.scalars(select(Backup)).all() == []


def test_a_killed_worker_drops_nothing_that_is_not_backed_up(
    workers: Workers,
    session: Session,
    shop: Database,  # noqa: F811
    ended: Ended,  # noqa: F811
) -> None:
    workers.flag("backup-wait").touch()
    first = workers.start(program="tests.worker.backup_program")
    ended(deletions.delete_database(session, SYSTEM, shop), "succeeded")
    wait_until(workers.flag("backup-entered").exists)
    with pytest.raises(OperationInProgress):
        deletions.undelete(session, Actor("user", shop.owner), shop)
    session.rollback()
    kill(first)
    (row,) = left(session)
    assert workers.flag(f"data-{row.name}").read_text() == "one two three"
    workers.flag("backup-wait").unlink()
    row.leased_until = func.now()  # as if the lease of the one that died had ended
    session.commit()
    workers.start(program="tests.worker.backup_program")
    wait_until(lambda: not left(session), timeout_s=180)
    (backup,) = backups.list_backups(session, shop)
    assert stored(workers, backup) == b"one two three"


def test_what_is_not_there_any_more_is_given_up_loudly(
    started: Workers,  # noqa: F811
    session: Session,
    shop: Database,  # noqa: F811
    ended: Ended,  # noqa: F811
) -> None:
    make_endpoint(session, shop.owner, "backup.failed")
    started.flag("data-shop").unlink()
    ended(deletions.delete_database(session, SYSTEM, shop), "succeeded")
    wait_until(lambda: not left(session), timeout_s=180)
    assert session.scalars(select(Backup)).one().state == "failed"
    assert "no such database" in session.scalars(select(WebhookDelivery.payload)).one()["data"]["message"]
