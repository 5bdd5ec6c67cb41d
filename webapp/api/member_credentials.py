"""Members' own credentials by the API: a role of one's own, its password in the answer and nowhere else."""

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import access_schemas, schemas
from webapp.api.auth import routes
from webapp.api.changes import carry_out, on, once
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, documented
from webapp.api.schemas import DatabasePath, MemberPath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.models import Operation
from webapp.services import access, member_credentials, members
from webapp.services.actors import Actor

api = routes("member_credentials_api", "members", "/databases")


@api.post(
    "/<id>/members/me/credentials",
    responses=documented({201: access_schemas.OwnCredentials, 202: schemas.OperationOut}, 404, 409, 413, 415, 422, 500),
)
def make(path: DatabasePath, header: PostHeaders) -> Response:
    """Get credentials of one's own, or a new password: the answer holds it, and no other call shows it."""
    require_no_fields()
    return carry_out(
        header,
        on(path.id, "member"),
        lambda session, actor: member_credentials.make(
            session, actor, access.require(session, actor, path.id, "member")
        ),
        _taken,
    )


@api.delete("/<id>/members/me/credentials", responses=documented({204: None}, 404, 409, 413, 422))
def give_up(path: DatabasePath, header: PostHeaders) -> Response:
    """End one's own credentials; the membership stays."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        member_credentials.give_up(session, actor, access.require(session, actor, path.id, "member"))
        return Response(status=204)

    return once(header, on(path.id, "member"), make)


@api.delete("/<id>/members/<member_id>/credentials", responses=documented({204: None}, 404, 409, 413, 422))
def revoke(path: MemberPath, header: PostHeaders) -> Response:
    """End a member's credentials; the membership stays."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "operate")
        member_credentials.revoke(session, actor, database, members.find_member(session, database, path.member_id))
        return Response(status=204)

    return once(header, on(path.id, "operate"), make)


def _taken(operation: Operation) -> Response:
    session = current_session()
    known = member_credentials.take(session, current_actor(), operation.database, operation)
    session.commit()
    shown = access_schemas.OwnCredentials(
        host=known.host,
        port=known.port,
        direct_port=known.direct_port,
        database=known.database,
        username=known.username,
        password=known.password,
        connection_string=known.connection_string,
        direct_connection_string=known.direct_connection_string,
    )
    return answer(shown, 201)
