"""Move a database: closed, dumped, restored and compared on the other host, switched, opened there, dropped last.

Until the switch, which is one transaction under the fence, the source has everything and is opened again whatever
fails. After it only the new host counts: a later try goes on from there and never restores again.
"""

import uuid
from contextlib import suppress
from typing import Any

from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Host, Operation
from webapp.services import backups, moves
from webapp.worker.long import database_kinds, dumps, restores
from webapp.worker.long.job import Done, LongJob, Refused
from webapp.worker.report import AGENT_ERROR, Failure

GONE = Failure(AGENT_ERROR, "The host to move to is not there any more.", retryable=False)


def move(job: LongJob) -> Done:
    """The whole move. Every step may be the last before a crash; a later try finds out where it was."""
    source, target = job.operation.host, _host(job, job.operation.params["target_id"])
    database = job.operation.database
    job.expect(*([database_kinds.PLAYBOOK] * 4), "backup.yml", "restore.yml")
    changes: list[str] = []
    if not _params(job)["moved"]:
        changes += _bring_over(job, database, source, target)
        _switch(job, database, target)
    changes += database_kinds.converge(job, database, host=target, expected=True)
    changes += database_kinds.converge(job, database, "absent", host=source, expected=True)
    return Done([*_told(source, target), *changes], lambda session: _record(session, job, database))


def _bring_over(job: LongJob, database: Database, source: Host, target: Host) -> list[str]:
    changes = database_kinds.converge(job, database, "closed", host=source, expected=True)
    backup = dumps.make(job, _dump_of_now(job, database, reopened=bool(changes)), expected=True)
    changes += database_kinds.converge(job, database, "closed", host=target, expected=True)
    try:
        restored = _restore(job, database, backup, target)
    except Refused:
        with suppress(Refused):  # what failed is the reason to be told, not the clearing up
            database_kinds.converge(job, database, "absent", host=target)
        raise
    return [*changes, f"Dump {backup.filename}", *restored.changes]


def _restore(job: LongJob, database: Database, backup: Backup, target: Host) -> restores.Restored:
    where = restores.of_backup(job, backup, target)
    restored = restores.restore(job, database, target, "new", where, backup.manifest, expected=True)
    if restored.matches is not True:
        raise Refused(Failure(AGENT_ERROR, "What arrived was not compared with what was sent.", retryable=True))
    return restored


def _dump_of_now(job: LongJob, database: Database, *, reopened: bool) -> str:
    """The backup to make; another one when the database was open since an earlier try's dump."""
    backup_id: str = _params(job)["backup_id"]
    if not reopened or dumps.load_backup(job, backup_id).state != "available":
        return backup_id
    with dumps.fenced(job) as session:
        planned = backups.plan_backup(session, session.get_one(Database, database.id), "safety")
        operation = session.get_one(Operation, job.operation.id)
        operation.params = {**operation.params, "backup_id": str(planned.id)}
        return str(planned.id)


def _switch(job: LongJob, database: Database, target: Host) -> None:
    """From here on the database is on *target*, where all of it was just proven to be."""
    with dumps.fenced(job) as session:
        session.get_one(Database, database.id).host_id = target.id
        operation = session.get_one(Operation, job.operation.id)
        operation.params = {**operation.params, "moved": True}


def _record(session: Session, job: LongJob, database: Database) -> None:
    row = session.get_one(Database, database.id)
    row.status, row.applied_generation = _params_of(session, job)["previous_status"], database.generation


def _told(source: Host, target: Host) -> list[str]:
    if moves.keeps_address(source, target):
        return [f"Moved from {source.name} to {target.name}; the connection string stays"]
    address = f"{target.public_host}:{target.pgbouncer_port}"
    return [f"Moved from {source.name} to {target.name}; connect to {address} from now on"]


def _host(job: LongJob, host_id: str) -> Host:
    with job.sessions() as session:
        host = session.get(Host, uuid.UUID(host_id))
        if host is None or host.removed_at is not None:
            raise Refused(GONE)
        return host


def _params(job: LongJob) -> dict[str, Any]:
    """The operation's, as an earlier part of this move left them."""
    with job.sessions() as session:
        return _params_of(session, job)


def _params_of(session: Session, job: LongJob) -> dict[str, Any]:
    return dict(session.get_one(Operation, job.operation.id).params)
