"""Look after backups on a schedule: queue those that are due, remove those that are over, sweep the spool."""

import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from webapp.gateways.object_store import ObjectStoreError, object_store
from webapp.models import Backup
from webapp.services import backup_expiry, backup_schedules, backups, spool
from webapp.worker import environment
from webapp.worker.hosts import Server
from webapp.worker.long import restores
from webapp.worker.runner import Job
from webapp.worker.slots import Slots

if TYPE_CHECKING:
    from webapp.gateways.s3 import ObjectStore

DUE_EVERY_S = 5.0
TIDY_EVERY_S = 60.0
TIMEOUT_S = 300.0
AT_ONCE = 500
IMPORTS_KEPT = timedelta(days=2)

log = structlog.get_logger(__name__)


class Keeper:
    """One worker's share; a thread of its own, so that nothing waits for it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._slots = Slots(1, "keeper")
        self._looked = self._tidied = float("-inf")
        self._bucket_tidies: bool | None = None

    def tick(self) -> None:
        """Start what is due, unless the last of it is still under way."""
        if self._slots.free and not self._server.shutdown.asked and time.monotonic() - self._looked > DUE_EVERY_S:
            self._looked = time.monotonic()
            self._slots.start(self._guarded)

    def close(self) -> None:
        """Wait for what is under way; the shutdown ends it."""
        self._slots.close()

    def _guarded(self) -> None:
        try:
            self._queue_due()
            if time.monotonic() - self._tidied > TIDY_EVERY_S:
                self._tidied = time.monotonic()
                self._tidy()
        except (SQLAlchemyError, OSError, ObjectStoreError) as error:
            log.warning("backups_not_kept", error=type(error).__name__)

    def _queue_due(self) -> None:
        with self._server.sessions() as session:
            operations = backup_schedules.queue_due(session)
            session.commit()
        for operation in operations:
            log.info("backup_queued", operation_id=str(operation.id), kind=operation.kind)

    def _tidy(self) -> None:
        with self._server.sessions() as session:
            backup_schedules.enrol(session)
            backup_expiry.expire(session)
            session.commit()
        self._remove_expired()
        with self._server.sessions() as session:
            backup_expiry.forget_deleted(session)
            session.commit()
        spool.sweep()
        store = object_store()
        if store is not None:
            self._tidy_bucket(store)

    def _tidy_bucket(self, store: "ObjectStore") -> None:
        """By the bucket's own rules where it has such, else what they would do to imports."""
        if self._bucket_tidies is None:
            self._bucket_tidies = store.ensure_lifecycle()
            log.info("bucket_lifecycle", kept=self._bucket_tidies)
        if not self._bucket_tidies:
            store.sweep_uploads(datetime.now(UTC) - IMPORTS_KEPT)

    def _remove_expired(self) -> None:
        """Files first, then the rows: what was cut off in between is removed once more."""
        by_host: dict[str, list[Backup]] = defaultdict(list)
        with self._server.sessions() as session:
            over = session.scalars(select(Backup).where(Backup.state == "deleting").limit(AT_ONCE)).unique().all()
        for backup in over:
            by_host[backup.host.name if backup.store == "host" else ""].append(backup)
        for host, listed in by_host.items():
            gone = self._remove_on_host(host, listed) if host else self._remove_objects(listed)
            if gone:
                self._forget(listed)

    def _remove_objects(self, listed: list[Backup]) -> bool:
        store = object_store()
        if store is None:
            return False
        for backup in listed:
            if backup.upload_id is not None:
                store.abort_upload(backups.object_key(backup), backup.upload_id)
        store.delete(backups.object_key(backup) for backup in listed)
        return True

    def _remove_on_host(self, host: str, listed: list[Backup]) -> bool:
        absent = [{"folder": str(backup.database_id), "filename": backup.filename} for backup in listed]
        variables = {"tenant_backup_files": {"absent": absent, "fetch": None}}
        outcome = self._server.look(Job(environment.PLAYBOOKS / "backup_files.yml", host, variables, TIMEOUT_S))
        told = outcome.reports.get(restores.FILES, {}).get("files") or {}
        removed = outcome.ok and not told.get("error")
        if not removed:
            log.warning("backups_not_removed", host=host, backups=len(listed), unreachable=outcome.unreachable)
        return removed

    def _forget(self, listed: list[Backup]) -> None:
        with self._server.sessions() as session:
            forget(session, [backup.id for backup in listed])
            session.commit()
        log.info("backups_removed", backups=len(listed))


def forget(session: Session, ids: list[uuid.UUID]) -> None:
    """Remove the rows of backups whose files are gone."""
    session.execute(delete(Backup).where(Backup.id.in_(ids), Backup.state == "deleting"))
