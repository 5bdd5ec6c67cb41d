"""A database's members by the API."""

from flask import Response

from webapp.api import access_schemas, changes, shapes
from webapp.api.auth import routes
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import DatabasePath, MemberPath, PostHeaders
from webapp.http import current_actor, current_session, resources
from webapp.limits import client_address, count
from webapp.services import access, members
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
        return changes.replay(claimed.answer)
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


@api.patch("/<id>/members/<member_id>", responses=documented({200: access_schemas.MemberOut}, 404, 413, 415))
def change(path: MemberPath, body: access_schemas.MemberChanges) -> Response:
    """Change a member's access level."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, path.id, "operate")
    response = answer(shapes.member(members.change_level(session, actor, database, path.member_id, body.role)))
    session.commit()
    return response


@api.delete("/<id>/members/me", responses=documented({204: None}, 404, 413))
def leave(path: DatabasePath) -> Response:
    """End one's own membership."""
    require_no_fields()
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, path.id, "member")
    members.leave(session, actor, database)
    session.commit()
    return Response(status=204)


@api.delete("/<id>/members/<member_id>", responses=documented({204: None}, 404, 413))
def remove(path: MemberPath) -> Response:
    """End a membership, or leave: one's own may be ended by everybody."""
    require_no_fields()
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, path.id, "view")
    members.remove_member(session, actor, database, path.member_id)
    session.commit()
    return Response(status=204)
