"""Move a database: dumped, restored and compared on the other host, switched, opened there, dropped last.

Its clients go on reading until all of it has arrived. Then it is closed, and goes only if nothing was written since the
dump; where something was, it is dumped again, closed. Until the switch, which is one transaction under the fence, the
source has everything and is opened again whatever fails. After it only the new host counts: a later try goes on from
there and never restores again.
"""

import uuid
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Host, Operation
from webapp.models.databases import GENERATIONS
from webapp.services import backups, copies, moves
from webapp.worker import desired
from webapp.worker.long import database_kinds, dumps, restores
from webapp.worker.long.job import Done, LongJob, Refused, Unreachable, report_of
from webapp.worker.report import AGENT_ERROR, Failure, ItemError
from webapp.worker.retries import UNREACHABLE

REPORT = "Report the activity"
GONE = Failure(AGENT_ERROR, "The host to move to is not there any more.", retryable=False)
CUT_OFF = Failure(UNREACHABLE, "A host could not be reached. The database stays where it is.", retryable=False)
# It is asked for again; until then it must not hold up the database's backups.
AWAY = Failure(UNREACHABLE, "The host that has the copy cannot be reached; it is tried again later.", retryable=False)
CLOSED_PLAYS = ("databases.yml", "backup.yml", "databases.yml", "restore.yml")
READ_ONLY_PLAYS = (*CLOSED_PLAYS, "databases.yml", "activity.yml")


class Activity(BaseModel):
    """What the host says of the writes in a database: a fingerprint of them, and how many sessions might write more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    activity: str | None = None
    sessions: int | None = None
    error: ItemError | None = None


def move(job: LongJob) -> Done:
    """The whole move. Every step may be the last before a crash; a later try finds out where it was."""
    source, target = job.operation.host, _host(job, job.operation.params["target_id"])
    database = job.operation.database
    _begin_anew(job, database, target)
    job.expect(database_kinds.PLAYBOOK, database_kinds.PLAYBOOK)
    changes: list[str] = []
    if not _params(job)["moved"]:
        changes += _bring_over_or_give_up(job, database, source, target)
        _switch(job, database, source, target)
    changes += database_kinds.converge(job, database, host=target, expected=True)
    changes += database_kinds.drop(job, database, source, database.name, expected=True)
    return Done([*_told(source, target), *changes], lambda session: _record(session, job, database, source))


def drop_copy(job: LongJob) -> Done:
    """What a move left on the operation's host goes, unless the database has moved back there since."""
    database, host = job.operation.database, job.operation.host
    with job.sessions() as session:
        name = copies.name_of(session, database.id, host.id)
    if name is None:
        return Done()
    try:
        changes = database_kinds.drop(job, database, host, name)
    except Unreachable:
        raise Refused(AWAY) from None
    return Done(changes, lambda session: copies.forget(session, database.id, host.id))


def _bring_over_or_give_up(job: LongJob, database: Database, source: Host, target: Host) -> list[str]:
    """Nobody can write meanwhile: rather than wait for a host that is away, the source is opened again."""
    try:
        return _bring_over(job, database, source, target)
    except Unreachable:
        raise Refused(CUT_OFF) from None


def _begin_anew(job: LongJob, database: Database, target: Host) -> None:
    """A generation for each try: hosts refuse what an earlier one may still send, and cut clients once for each."""
    with dumps.fenced(job) as session:
        if not _params_of(session, job)["moved"]:
            copies.note(session, database, target.id)
        database.generation = session.scalars(select(GENERATIONS.next_value())).one()
        session.get_one(Database, database.id).generation = database.generation
        session.get_one(Operation, job.operation.id).generation = database.generation


def _bring_over(job: LongJob, database: Database, source: Host, target: Host) -> list[str]:
    """All of it on *target*; closed on both."""
    if desired.state(database) != "present" or _params(job).get("written_to"):
        job.expect(*CLOSED_PLAYS)
        changes = database_kinds.converge(job, database, "closed", host=source, expected=True)
        if _dump(job).state == "available" and not _is_as_dumped(job, database, source):
            _plan_another(job, database)
        return changes + _copy(job, database, target, expected=True)
    job.expect(*READ_ONLY_PLAYS)
    changes = database_kinds.make_read_only(job, database, expected=True)
    changes += _copy(job, database, target, expected=True)
    changes += database_kinds.converge(job, database, "closed", host=source, expected=True)
    if not _is_as_dumped(job, database, source, expected=True):
        _plan_another(job, database)
        changes += _copy(job, database, target)
    return changes


def _copy(job: LongJob, database: Database, target: Host, *, expected: bool = False) -> list[str]:
    """A dump of it in a closed database on *target*, compared."""
    backup = dumps.make(job, _params(job)["backup_id"], expected=expected)
    changes = database_kinds.converge(job, database, "closed", host=target, expected=expected)
    try:
        restored = _restore(job, database, backup, target, expected=expected)
    except Refused:
        with suppress(Refused):  # what failed is the reason to be told, not the clearing up
            database_kinds.drop(job, database, target, database.name)
        raise
    return [*changes, f"Dump {backup.filename}", *restored.changes]


def _restore(job: LongJob, database: Database, backup: Backup, target: Host, *, expected: bool) -> restores.Restored:
    where = restores.of_backup(job, backup, target)
    restored = restores.restore(job, database, target, "new", where, backup.manifest, expected=expected)
    if restored.matches is not True:
        raise Refused(Failure(AGENT_ERROR, "What arrived was not compared with what was sent.", retryable=True))
    return restored


def _is_as_dumped(job: LongJob, database: Database, source: Host, *, expected: bool = False) -> bool:
    """Whether nothing was written on *source*, which is closed, since the dump's snapshot."""
    asked = {"tenant_activity": {"name": database.name}}
    outcome = job.play("activity.yml", source.name, asked, expected=expected)
    found = report_of(outcome, REPORT, "activity", Activity)
    if found.error is not None:
        raise Refused(found.error.failure)
    dumped = (_dump(job).manifest or {}).get("activity")
    return found.sessions == 0 and found.activity is not None and found.activity == dumped


def _dump(job: LongJob) -> Backup:
    return dumps.load_backup(job, _params(job)["backup_id"])


def _plan_another(job: LongJob, database: Database) -> None:
    """Somebody wrote to it since the dump: another one is made, and its clients are out meanwhile."""
    with dumps.fenced(job) as session:
        planned = backups.plan_backup(session, session.get_one(Database, database.id), "safety")
        operation = session.get_one(Operation, job.operation.id)
        operation.params = {**operation.params, "backup_id": str(planned.id), "written_to": True}


def _switch(job: LongJob, database: Database, source: Host, target: Host) -> None:
    """From here on the database is on *target*, where all of it was just proven to be."""
    with dumps.fenced(job) as session:
        session.get_one(Database, database.id).host_id = target.id
        copies.forget(session, database.id, target.id)
        copies.note(session, database, source.id)
        operation = session.get_one(Operation, job.operation.id)
        operation.params = {**operation.params, "moved": True}


def _record(session: Session, job: LongJob, database: Database, source: Host) -> None:
    copies.forget(session, database.id, source.id)
    row = session.get_one(Database, database.id)
    row.status, row.applied_generation = _params_of(session, job)["previous_status"], database.generation


def _told(source: Host, target: Host) -> list[str]:
    if moves.keeps_address(source, target):
        return [f"Moved from {source.name} to {target.name}; the connection string stays"]
    address = f"{target.public_host}:{target.pgbouncer_port} (direct: {target.pgbouncer_direct_port})"
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
