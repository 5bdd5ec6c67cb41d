"""A backup's file as an HTTP answer, whole or a range of it, never held in memory."""

from pathlib import Path

from flask import Response, request, send_file
from werkzeug.datastructures import ContentRange
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from webapp.gateways.object_store import ObjectMissing, ObjectStoreError, object_store
from webapp.models import Backup
from webapp.services import backups
from webapp.services.errors import BackupNotFound, HostUnavailable

GZIP = "application/gzip"


def of_copy(backup: Backup, path: Path) -> Response:
    """The copy in the spool. Its checksum is its ETag, so that a download that broke goes on where it was."""
    return send_file(
        path, mimetype=GZIP, as_attachment=True, download_name=backup.filename, etag=backup.sha256 or False, max_age=0
    )


def of_object(backup: Backup) -> Response:
    """The object, handed through: its address would have to be signed for a person. Raises BackupNotFound."""
    store, size = object_store(), backup.size_bytes or 0
    if store is None:
        raise HostUnavailable("The object store of this backup is not configured.")
    first, last = _range(backup, size)
    try:
        chunks = store.read(backups.object_key(backup), first, last)
    except ObjectMissing:
        raise BackupNotFound("The object store has lost this backup.") from None
    except ObjectStoreError as error:
        raise HostUnavailable(str(error)) from None
    partial = (first, last) != (0, size - 1)
    response = Response(chunks, status=206 if partial else 200, mimetype=GZIP)
    response.content_length = last - first + 1
    if partial:
        response.content_range = ContentRange("bytes", first, last + 1, size)
    response.headers["Content-Disposition"] = f"attachment; filename={backup.filename}"
    response.headers["Accept-Ranges"] = "bytes"
    response.set_etag(backup.sha256 or "")
    return response


def _range(backup: Backup, size: int) -> tuple[int, int]:
    """The first and last byte asked for; all of them where the range is of another file."""
    asked = request.range
    same = request.if_range.etag is None or request.if_range.etag == backup.sha256
    if asked is None or not same or asked.units != "bytes" or len(asked.ranges) != 1:
        return 0, size - 1
    found = asked.range_for_length(size)
    if found is None:
        raise RequestedRangeNotSatisfiable(size)
    return found[0], found[1] - 1
