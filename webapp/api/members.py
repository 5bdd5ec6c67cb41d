"""A database's members by the API."""

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import access_schemas, changes, shapes
from webapp.api.auth import routes
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import DatabasePath, MemberPath, PostHeaders
from webapp.http import current_actor, current_session, resources
from webapp.limits import client_address, count
from webapp.services import access, members
from webapp.services.actors import Actor
from webapp.services.errors import NotFound

api = routes("members_api", "members", "/databases")


@api.get("/<id>/members", responses=documented({200: access_schemas.MemberList, 304: None}, 404))
def index(path: DatabasePath) -> Response:
    """List the members; the owner is none of them."""
    database = access.require(current_session(), current_actor(), path.id, "view")
    listed = members.list_members(current_session(), database)
    return cacheable(access_schemas.MemberList(data=[shapes.member(row) for row in listed]))


@api.post("/<id>/members", responses=documented({201: access_schemas.MemberOut}, 404, 409, 413, 415, 422))
def add(path: DatabasePath, header: PostHeaders, body: access_schemas.NewMember) -> Response:
    """Give another user access by their e-mail address; who has no account is invited instead."""
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.on(path.id, "operate"))
    database = access.require(session, actor, path.id, "operate")
    try:
        response = answer(shapes.member(members.add_member(session, actor, database, body.email, body.role)), 201)
    except NotFound:
        session.rollback()
        count("unknown-member", client_address(), resources().settings.account_rate)
        raise
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response


@api.patch("/<id>/members/<member_id>", responses=documented({200: access_schemas.MemberOut}, 404, 413, 415, 422))
def change(path: MemberPath, header: PostHeaders, body: access_schemas.MemberChanges) -> Response:
    """Change a member's access level."""

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "operate")
        return answer(shapes.member(members.change_level(session, actor, database, path.member_id, body.role)))

    return changes.once(header, changes.on(path.id, "operate"), make)


@api.delete("/<id>/members/me", responses=documented({204: None}, 404, 409, 413, 422))
def leave(path: DatabasePath, header: PostHeaders) -> Response:
    """End one's own membership. Whoever has left is told of it as any stranger is: 404, with the same key too."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        members.leave(session, actor, access.require(session, actor, path.id, "member"))
        return Response(status=204)

    return changes.once(header, changes.on(path.id, "member"), make)


@api.delete("/<id>/members/<member_id>", responses=documented({204: None}, 404, 409, 413, 422))
def remove(path: MemberPath, header: PostHeaders) -> Response:
    """End a membership, or leave: one's own may be ended by everybody."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        members.remove_member(session, actor, access.require(session, actor, path.id, "view"), path.member_id)
        return Response(status=204)

    return changes.once(header, changes.on(path.id, "operate"), make)
