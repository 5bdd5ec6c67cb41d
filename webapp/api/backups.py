"""Backups of a database by the API: list, create, download, delete, restore."""

import json

from flask import Response
from sqlalchemy.orm import Session

from webapp import downloads as answers
from webapp import uploads
from webapp.api import backup_schemas as told
from webapp.api import backup_shapes, changes, schemas, shapes
from webapp.api.auth import routes
from webapp.api.changes import carry_out
from webapp.api.json_body import require_no_fields
from webapp.api.preference import read_preference
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import ChangeHeaders, DatabasePath, PostHeaders
from webapp.api.waiting import after, finish
from webapp.http import current_actor, current_session
from webapp.models import Backup, Operation
from webapp.services import access, backups, downloads, imports
from webapp.services.actors import Actor
from webapp.services.errors import BackupNotFound

api = routes("backups_api", "backups", "/databases")
ACCEPTED = {202: schemas.OperationOut}
FILE = {
    "description": "The dump, `pg_dump` piped to gzip. `Range` and `If-Range` continue a download that broke.",
    "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
}
UPLOAD = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [uploads.FIELD],
                "properties": {
                    uploads.FIELD: {"type": "string", "format": "binary"},
                    "database": {"type": "string", "description": "Which database, of a dump that holds several."},
                    "allowIncomplete": {
                        "type": "boolean",
                        "default": False,
                        "description": "Import a dump that is cut off or holds nothing.",
                    },
                },
            }
        }
    },
}


@api.get("/<id>/backups", responses=documented({200: told.BackupList, 304: None}, 404))
def index(path: DatabasePath) -> Response:
    """List the finished backups, newest first."""
    session = current_session()
    database = access.require(session, current_actor(), path.id, "list_backups")
    return cacheable(told.BackupList([backup_shapes.backup(row) for row in backups.list_backups(session, database)]))


@api.post("/<id>/backups", responses=documented({202: told.Started}, 404, 409, 413, 415, 422))
def create(path: DatabasePath, header: PostHeaders) -> Response:
    """Start a backup and answer at once; the operation tells how it goes."""
    require_no_fields()
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.on(path.id, "operate"))
    operation = backups.create_backup(session, actor, access.require(session, actor, path.id, "operate"))
    response = answer(told.Started(message="Backup started", operation=shapes.operation(operation)), 202)
    response.headers["Location"] = f"/api/v1/operations/{operation.id}"
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response


@api.get("/<id>/backups/<filename>", responses=documented({200: FILE, 206: FILE, **ACCEPTED}, 404, 409, 416, 500))
def download(path: told.BackupPath, header: ChangeHeaders) -> Response:
    """Download a backup. One to be copied from its host first may be answered by 202: ask again when that has ended."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, path.id, "download_backups")
    backup = backups.find_backup(session, database, path.filename)
    downloads.record(session, actor, database, backup)
    if backup.store == "s3":
        session.commit()
        return answers.of_object(backup)
    copy = downloads.ready_copy(backup)
    if copy is not None:
        session.commit()
        return answers.of_copy(backup, copy)
    preference, again = read_preference(header.prefer), changes.asking(changes.on(path.id, "download_backups"))

    def fetch(in_the_way: Operation | None = None) -> Response:
        operation = downloads.queue_copy(session, actor, database, backup)
        session.commit()
        if operation.kind != downloads.FETCH and in_the_way is None:
            return after(operation.id, actor, preference, fetch, again)
        return finish(operation.id, actor, preference, lambda _: _copied(backup), again)

    return fetch()


@api.delete("/<id>/backups/<filename>", responses=documented({204: None, **ACCEPTED}, 404, 409, 413, 422, 500))
def delete(path: told.BackupPath, header: PostHeaders) -> Response:
    """Delete a backup."""
    require_no_fields()

    def ask(session: Session, actor: Actor) -> Operation:
        database = access.require(session, actor, path.id, "operate")
        return backups.delete_backup(session, actor, database, backups.find_backup(session, database, path.filename))

    return carry_out(header, changes.on(path.id, "operate"), ask, lambda _: Response(status=204))


@api.post(
    "/<id>/backups/<filename>", responses=documented({200: told.Message, **ACCEPTED}, 404, 409, 413, 415, 422, 500)
)
def restore(path: told.BackupPath, header: PostHeaders) -> Response:
    """Restore a backup in place: all that is in the database is replaced. A safety backup is taken first."""
    require_no_fields()

    def ask(session: Session, actor: Actor) -> Operation:
        database = access.require(session, actor, path.id, "operate")
        return backups.restore_backup(session, actor, database, backups.find_backup(session, database, path.filename))

    return carry_out(header, changes.on(path.id, "operate"), ask, lambda operation: _restored(operation, path.filename))


@api.post(
    "/<id>/backups/restore",
    request_body=UPLOAD,
    responses=documented({200: told.Message, **ACCEPTED}, 404, 409, 413, 422, 500),
)
def restore_upload(path: DatabasePath, header: PostHeaders) -> Response:
    """Restore an uploaded dump in place, as the database's own role. A safety backup is taken first."""
    access.require(current_session(), current_actor(), path.id, "operate")
    upload = uploads.received()

    def ask(session: Session, actor: Actor) -> Operation:
        database = access.require(session, actor, path.id, "operate")
        operation = imports.restore_upload(session, actor, database, upload)
        imports.store(upload)
        uploads.keep(upload)
        return operation

    return carry_out(
        header,
        changes.on(path.id, "operate"),
        ask,
        lambda operation: _restored(operation, upload.filename),
        body=json.dumps([upload.sha256, upload.asked]),
    )


def _copied(backup: Backup) -> Response:
    copy = downloads.ready_copy(backup)
    if copy is None:
        raise BackupNotFound
    return answers.of_copy(backup, copy)


def _restored(operation: Operation, filename: str) -> Response:
    skipped = [change for change in operation.changes or () if change.startswith(imports.SKIP)]
    left_out = f" Left out of the file: {'; '.join(skipped)}." if skipped else ""
    return answer(told.Message(message=f"{operation.database.name} was restored from {filename}.{left_out}"))
