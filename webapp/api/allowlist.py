"""A database's allowlist by the API."""

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import access_schemas, schemas, shapes
from webapp.api.auth import routes
from webapp.api.changes import carry_out, on
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import DatabasePath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.models import Database, Operation
from webapp.services import access, allowlist
from webapp.services.actors import Actor

api = routes("allowlist_api", "databases", "/databases")


@api.get("/<id>/allowlist", responses=documented({200: access_schemas.Allowlist, 304: None}, 404))
def show(path: DatabasePath) -> Response:
    """List the networks that may connect; an empty list means every network."""
    return cacheable(shapes.allowlist(access.require(current_session(), current_actor(), path.id, "view")))


@api.put(
    "/<id>/allowlist",
    responses=documented({200: access_schemas.Allowlist, 202: schemas.OperationOut}, 404, 409, 413, 415, 422, 500),
)
def replace(path: DatabasePath, header: PostHeaders, body: access_schemas.NewAllowlist) -> Response:
    """Replace the whole list. When it gets narrower, every open session is cut once."""
    entries = [(entry.cidr, entry.label) for entry in body.data]

    def ask(session: Session, actor: Actor) -> Operation:
        database = access.require(session, actor, path.id, "operate")
        return allowlist.replace_allowlist(session, actor, database, entries)

    return carry_out(
        header, on(path.id, "operate"), ask, lambda operation: answer(shapes.allowlist(_reread(operation)))
    )


def _reread(operation: Operation) -> Database:
    """The database in a session of its own: the one that waited for the operation was given back."""
    return current_session().get_one(Database, operation.database_id)
