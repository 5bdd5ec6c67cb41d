"""What comes before and after a database's end by the API: its protection, its return, its copy, its schedule."""

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import backup_schemas as told
from webapp.api import backup_shapes, schemas, shapes
from webapp.api.auth import routes
from webapp.api.changes import carry_out, nothing_changed, on, once
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import DatabasePath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.models import Database, Operation
from webapp.services import access, backup_schedules, backups, clones, deletions, drills
from webapp.services.actors import Actor
from webapp.services.backup_schedules import Wish
from webapp.services.databases import DatabaseSpec

api = routes("deletions_api", "backups", "/databases")
ACCEPTED = {202: schemas.OperationOut}


@api.get("/deleted", responses=documented({200: told.DeletedList, 304: None}))
def index() -> Response:
    """List the databases that were deleted and can be brought back."""
    found = deletions.list_deleted(current_session(), current_actor())
    return cacheable(told.DeletedList(data=[backup_shapes.deleted(one) for one in found]))


@api.post(
    "/<id>/undelete",
    responses=documented({200: schemas.DatabaseDetail, **ACCEPTED}, 404, 409, 413, 415, 422, 500),
)
def undelete(path: DatabasePath, header: PostHeaders, body: told.Undelete) -> Response:
    """Bring a deleted database back from its newest backup, with its password, members and allowlist."""

    def ask(session: Session, actor: Actor) -> Operation:
        database = deletions.find_deleted(session, actor, path.id)
        return deletions.undelete(session, actor, database, body.name)

    return carry_out(header, on(path.id, "own"), ask, lambda operation: answer(shapes.detail(operation.database)))


@api.post(
    "/<id>/clone",
    responses=documented({201: schemas.CreatedDatabase, **ACCEPTED}, 404, 409, 413, 415, 422, 500),
)
def clone(path: DatabasePath, header: PostHeaders, body: told.Clone) -> Response:
    """Create a database with the data of this one, of now or of a backup. The answer holds its password."""
    spec = DatabaseSpec(body.display_name, body.name)

    def ask(session: Session, actor: Actor) -> Operation:
        source = access.require(session, actor, path.id, "clone")
        backup = backups.find_backup(session, source, body.filename) if body.filename is not None else None
        return clones.clone_database(session, actor, source, spec, backup)

    return carry_out(
        header,
        on(path.id, "clone"),
        ask,
        lambda operation: answer(shapes.created(operation), 201),
        sees="credentials",
    )


@api.get("/<id>/delete-protection", responses=documented({200: told.ProtectionOut, 304: None}, 404))
def show_protection(path: DatabasePath) -> Response:
    """Tell whether the database is protected from being deleted."""
    database = access.require(current_session(), current_actor(), path.id, "view")
    return cacheable(told.ProtectionOut(enabled=database.delete_protection))


@api.put("/<id>/delete-protection", responses=documented({200: told.ProtectionOut}, 404, 413, 415, 422))
def protect(path: DatabasePath, header: PostHeaders, body: told.Protection) -> Response:
    """Protect the database from being deleted, or no longer."""

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "own")
        deletions.set_protection(session, actor, database, protected=body.enabled)
        nothing_changed()
        return answer(told.ProtectionOut(enabled=database.delete_protection))

    return once(header, on(path.id, "own"), make)


@api.get("/<id>/backup-schedule", responses=documented({200: told.ScheduleOut, 304: None}, 404))
def show_schedule(path: DatabasePath) -> Response:
    """Show when the database is backed up by itself, and which backup was proven restorable last."""
    session = current_session()
    return cacheable(_schedule(session, access.require(session, current_actor(), path.id, "list_backups")))


@api.put("/<id>/backup-schedule", responses=documented({200: told.ScheduleOut}, 404, 413, 415, 422))
def change_schedule(path: DatabasePath, header: PostHeaders, body: told.NewSchedule) -> Response:
    """Replace the schedule, within the plan."""
    wish = Wish(body.enabled, body.hour_utc, body.every_hours, body.retention_days)

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "operate")
        backup_schedules.change(session, actor, database, wish)
        session.flush()
        return answer(_schedule(session, database))

    return once(header, on(path.id, "operate"), make)


def _schedule(session: Session, database: Database) -> told.ScheduleOut:
    return backup_shapes.schedule(
        backup_schedules.of_database(session, database), drills.last_proven(session, database)
    )
