"""The backups page of a database: start, download, restore, delete, import, schedule."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp import downloads as answers
from webapp import uploads
from webapp.http import current_actor, current_session
from webapp.models import Backup, Database
from webapp.services import access, backup_schedules, backups, downloads, drills, imports, operations, plans
from webapp.services.backup_schedules import EVERY_HOURS, Wish
from webapp.services.errors import Conflict, PlanLimitReached, ServiceError, ValidationFailed
from webapp.web.confirmation import require_recent
from webapp.web.once import once

blueprint = Blueprint("backups", __name__, url_prefix="/databases/<uuid:database_id>/backups")
NAMES = "<any(restore, delete):change>"


@blueprint.get("")
def index(database_id: uuid.UUID) -> str:
    """All backups of a database, newest first, with what can be done with them."""
    return _page(access.require(current_session(), current_actor(), database_id, "list_backups"))


@blueprint.post("")
@once
def create(database_id: uuid.UUID) -> Response:
    """Queue a backup."""
    session = current_session()
    database = access.require(session, current_actor(), database_id, "operate")
    backups.create_backup(session, current_actor(), database)
    return _queued(database)


@blueprint.get("/<filename>")
def download(database_id: uuid.UUID, filename: str) -> Response:
    """The file; one that is not here yet is copied from its host first, and the page then offers it."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "download_backups")
    backup = backups.find_backup(session, database, filename)
    copy = None if backup.store == "s3" else downloads.ready_copy(backup)
    if backup.store == "s3" or copy is not None:
        downloads.record(session, actor, database, backup)
        session.commit()
        return answers.of_object(backup) if copy is None else answers.of_copy(backup, copy)
    downloads.queue_copy(session, actor, database, backup)
    session.commit()
    return redirect(url_for("backups.index", database_id=database.id, download=backup.filename), code=303)


@blueprint.get(f"/<filename>/{NAMES}")
def confirm(database_id: uuid.UUID, filename: str, change: str) -> str:
    """What a restore or a deletion means, and the name to type."""
    session = current_session()
    database = access.require(session, current_actor(), database_id, "operate")
    return _confirmation(database, backups.find_backup(session, database, filename), change)


@blueprint.post(f"/<filename>/{NAMES}")
def change(database_id: uuid.UUID, filename: str, change: str) -> Response | tuple[str, int]:
    """Queue a restore in place or a deletion, once the name was typed."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "operate")
    require_recent()
    backup = backups.find_backup(session, database, filename)
    expected = database.name if change == "restore" else backup.filename
    if request.form.get("confirmation", "").strip() != expected:
        return _confirmation(database, backup, change, f"Type {expected} to confirm."), 400
    queue = backups.restore_backup if change == "restore" else backups.delete_backup
    queue(session, actor, database, backup)
    return _queued(database)


@blueprint.post("/import")
def restore_upload(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Queue the restore of an uploaded dump, once the name was typed."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "operate")
    try:
        upload = uploads.received()
        if request.form.get("confirmation", "").strip() != database.name:
            raise ValidationFailed(f"Type {database.name} to confirm that everything in it is replaced.")
        imports.restore_upload(session, actor, database, upload)
        imports.store(upload)
    except ServiceError as error:
        session.rollback()
        return _page(database, import_problem=str(error)), error.status
    uploads.keep(upload)
    return _queued(database)


@blueprint.post("/schedule")
def schedule(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Replace the schedule."""
    session, actor, form = current_session(), current_actor(), request.form
    database = access.require(session, actor, database_id, "operate")
    numbers = [form.get(name, -1, type=int) for name in ("hour_utc", "every_hours", "retention_days")]
    try:
        backup_schedules.change(session, actor, database, Wish("enabled" in form, *numbers))
    except (ValidationFailed, PlanLimitReached) as error:
        session.rollback()
        words = " ".join(word for said in (error.errors or {}).values() for word in said)
        return _page(database, schedule_problem=words or str(error)), error.status
    session.commit()
    flash("Schedule changed")
    return redirect(url_for("backups.index", database_id=database.id), code=303)


@blueprint.errorhandler(Conflict)
def refused(error: Conflict) -> tuple[str, int]:
    """Say on the page why it cannot be done now."""
    session = current_session()
    session.rollback()
    database_id = (request.view_args or {})["database_id"]
    return _page(access.require(session, current_actor(), database_id, "list_backups"), problem=str(error)), 409


def summary(database: Database) -> dict[str, Any]:
    """What the card on a database's page says of its backups."""
    session = current_session()
    listed = backups.list_backups(session, database)
    proven = drills.last_proven(session, database)
    failed = next((backup for backup in listed[:1] if backup.drill_error), None)
    schedule = backup_schedules.of_database(session, database)
    return {"backups": listed, "proven": proven, "drill_failed": failed, "schedule": schedule}


def _page(database: Database, **problems: str | None) -> str:
    session, actor = current_session(), current_actor()
    recent = operations.list_operations(session, actor, limit=1, database_id=database.id).items
    latest = recent[0] if recent else None
    context = summary(database) | {
        "database": database,
        "latest": latest,
        "busy": latest is not None and latest.is_open,
        "progress": operations.progress(latest) if latest else None,
        "may": {permission: access.allows(actor, database, permission) for permission in access.PERMISSIONS},
        **_asked_for(database),
        "plan": plans.plan_of(database.owner),
        "every_hours": EVERY_HOURS,
    }
    return render_template("backups/index.html", **context, **problems)


def _asked_for(database: Database) -> dict[str, Backup | None]:
    """The backup whose download was asked for: *wanted* once its copy is here, *awaited* before."""
    filename = request.args.get("download")
    try:
        backup = backups.find_backup(current_session(), database, filename) if filename else None
    except ServiceError:
        backup = None
    here = backup is not None and downloads.ready_copy(backup) is not None
    return {"wanted": backup if here else None, "awaited": None if here else backup}


def _confirmation(database: Database, backup: Backup, change: str, problem: str | None = None) -> str:
    context = {"database": database, "backup": backup, "change": change, "problem": problem}
    return render_template("backups/confirm.html", **context)


def _queued(database: Database) -> Response:
    current_session().commit()
    return redirect(url_for("backups.index", database_id=database.id), code=303)
