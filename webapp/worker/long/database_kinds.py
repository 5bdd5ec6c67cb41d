"""The long operations on databases: undelete and clone."""

from typing import Any

from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Host
from webapp.services import webhooks
from webapp.worker import desired
from webapp.worker.long import dumps, restores
from webapp.worker.long.job import Done, LongJob, Refused
from webapp.worker.report import failed_run

PLAYBOOK = "databases.yml"


def undelete(job: LongJob) -> Done:
    """Make the database anew, closed; restore its last backup into it; open it."""
    backup = dumps.load_backup(job, job.operation.params["backup_id"])
    return _fill_new(job, backup)


def clone(job: LongJob) -> Done:
    """As undelete, from another database's backup, which is made first when it was asked for as it is now."""
    job.expect(*(["backup.yml"] if job.operation.params["made_first"] else []))
    backup = dumps.make(job, job.operation.params["backup_id"], expected=True)
    return _fill_new(job, backup)


def converge(
    job: LongJob, database: Database, state: str | None = None, *, host: Host | None = None, expected: bool = False
) -> list[str]:
    """Converge one database, to *state* rather than its desired one, on its host or *host*, and return the changes.

    Raises Refused.
    """
    wanted: dict[str, Any] = {"state": state or desired.state(database)}
    if wanted["state"] != "absent":
        wanted["verifier"] = database.verifier
    return _converge(job, database, host or database.host, wanted, expected=expected)


def drop(job: LongJob, database: Database, host: Host, name: str, *, expected: bool = False) -> list[str]:
    """Drop what *host* has of the database, under *name*; nothing is kept aside. Raises Refused."""
    gone = {"name": name, "state": "absent", "held_as": None}
    return _converge(job, database, host, gone, expected=expected)


def make_read_only(job: LongJob, database: Database, *, expected: bool = False) -> list[str]:
    """Let clients in as they are, and none of them write; who could is cut off once. Raises Refused."""
    return _converge(job, database, database.host, {"read_only": True, "disconnect": True}, expected=expected)


def _converge(job: LongJob, database: Database, host: Host, changes: dict[str, Any], *, expected: bool) -> list[str]:
    wanted = desired.tenant_database(database) | {"disconnect": False, "repair_ownership": False} | changes
    outcome = job.play(PLAYBOOK, host.name, {"tenant_databases": [wanted]}, expected=expected)
    item = outcome.results.get(wanted["name"])
    if item is None:
        raise Refused(failed_run(outcome.failed_step))
    if item.error is not None:
        raise Refused(item.error.failure)
    return item.changes


def _fill_new(job: LongJob, backup: Backup) -> Done:
    database = job.operation.database
    job.expect(PLAYBOOK, PLAYBOOK)
    changes = converge(job, database, "closed", expected=True)
    source = restores.of_backup(job, backup, database.host)
    restored = restores.restore(job, database, database.host, "new", source, backup.manifest)
    changes += [*restored.changes, *converge(job, database, "present", expected=True)]

    def record(session: Session) -> None:
        row = session.get_one(Database, database.id)
        row.status, row.applied_generation = "active", database.generation
        webhooks.publish(session, "database.created", database=row)

    return Done(changes, record)
