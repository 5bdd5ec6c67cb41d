"""The long operations on backups: create, restore, delete, fetch, drill."""

import uuid

from sqlalchemy import func
from sqlalchemy.orm import Session

from webapp.models import Backup
from webapp.services import backup_notices, backups, imports
from webapp.worker.long import dumps, restores
from webapp.worker.long.job import Done, LongJob, Refused
from webapp.worker.report import AGENT_ERROR, Failure

SHOWN_DIFFERENCES = 3


def create(job: LongJob) -> Done:
    """Dump the database; the backup is listed in the transaction that ends the operation."""
    backup = dumps.load_backup(job, job.operation.params["backup_id"])
    if backup.state == "available":
        return Done([backup.filename])
    dumped = dumps.dump(job, backup)
    told = f"{backup.filename}: {dumped.size_bytes} bytes, SHA-256 {dumped.sha256}"
    return Done([told], lambda session: dumps.keep(session, backup.id, dumped))


def restore(job: LongJob) -> Done:
    """Dump the live database for safety, then put the dump in its place; the host swaps them at the very end.

    A database that cannot be dumped may be the reason to restore it: then the host keeps it aside instead.
    """
    params, database = job.operation.params, job.operation.database
    job.expect("backup.yml")
    if "upload_id" in params:
        source, expect = restores.of_upload(job, params), None
    else:
        backup = dumps.load_backup(job, params["backup_id"])
        source, expect = restores.of_backup(job, backup, database.host), backup.manifest
    told, problem = _safety(job, params["safety_id"])
    keep = problem is not None
    restored = restores.restore(job, database, database.host, "replace", source, expect, keep_replaced=keep)

    def record(session: Session) -> None:
        if "upload_id" in params:
            imports.forget(uuid.UUID(params["upload_id"]))
        if problem is not None:
            backups.give_up(session, params["safety_id"], problem)
            backup_notices.safety_failed(session, database, problem)

    return Done([told, *restored.changes], record)


def _safety(job: LongJob, backup_id: str) -> tuple[str, str | None]:
    """What became of the safety backup, and why there is none."""
    try:
        return f"Safety backup {dumps.make(job, backup_id, expected=True).filename}", None
    except Refused as refused:
        problem = refused.failure.message
        return f"No safety backup could be made: {problem} {backup_notices.KEPT_ASIDE}", problem


def delete(job: LongJob) -> Done:
    """Remove the file, then the row."""
    params = job.operation.params
    with job.sessions() as session:
        backup = session.get(Backup, uuid.UUID(params["backup_id"]))
    if backup is None:
        return Done([])
    restores.remove(job, backup)

    def record(session: Session) -> None:
        row = session.get(Backup, backup.id)
        if row is not None:
            session.delete(row)

    return Done([f"Removed {backup.filename}"], record)


def fetch(job: LongJob) -> Done:
    """Bring a copy to the control plane's spool, for a download."""
    backup = dumps.load_backup(job, job.operation.params["backup_id"])
    restores.fetch(job, backup)
    return Done([f"Copied {backup.filename}"])


def drill(job: LongJob) -> Done:
    """Restore beside the database, compare with what was dumped, drop it again."""
    backup = dumps.load_backup(job, job.operation.params["backup_id"])
    host = job.operation.host
    source = restores.of_backup(job, backup, host)
    restored = restores.restore(job, job.operation.database, host, "scratch", source, backup.manifest)
    if restored.matches is False:
        shown = " ".join(restored.differences[:SHOWN_DIFFERENCES])
        told = f"What was restored is not what was dumped. {shown}".strip()
        raise Refused(Failure(AGENT_ERROR, told, retryable=False))

    def record(session: Session) -> None:
        row = session.get(Backup, backup.id)
        if row is not None:
            row.proven_at, row.drill_error = func.now(), None

    return Done([f"{backup.filename} was restored and compared", *restored.changes], record)
