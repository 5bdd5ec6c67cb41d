"""Moving a database to another host by the API; for platform admins."""

from flask import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from webapp.api import schemas, shapes
from webapp.api.auth import routes
from webapp.api.changes import carry_out, on
from webapp.api.responses import answer, documented
from webapp.api.schemas import DatabasePath, PostHeaders
from webapp.models import Operation
from webapp.services import access, moves
from webapp.services.actors import Actor

api = routes("moves_api", "databases", "/databases")


class Move(BaseModel):
    host: str = Field(max_length=255, description="Name of the host to move to.", examples=["db2"])


@api.post(
    "/<id>/move",
    responses=documented({200: schemas.DatabaseDetail, 202: schemas.OperationOut}, 404, 409, 413, 415, 422, 500, 503),
)
def move(path: DatabasePath, header: PostHeaders, body: Move) -> Response:
    """Move the database to another host. Clients are shut out while it moves; the answer says where to connect to."""

    def ask(session: Session, actor: Actor) -> Operation:
        database = access.require(session, actor, path.id, "move")
        return moves.move_database(session, actor, database, body.host)

    return carry_out(header, on(path.id, "move"), ask, lambda operation: answer(shapes.detail(operation.database)))
