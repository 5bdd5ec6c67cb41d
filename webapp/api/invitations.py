"""Invitations to a database by the API: made, sent again, withdrawn, and answered by whoever is invited."""

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import changes, schemas, shapes
from webapp.api import invitation_schemas as told
from webapp.api.auth import routes
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import DatabasePath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.limits import limit_mails
from webapp.models import User
from webapp.services import access, invitation_answers, invitations, outbox
from webapp.services.actors import Actor
from webapp.services.errors import InvitationNotFound

api = routes("invitations_api", "members", "/databases")
own_api = routes("own_invitations_api", "members", "/invitations")


@api.get("/<id>/invitations", responses=documented({200: told.InvitationList, 304: None}, 404))
def index(path: DatabasePath) -> Response:
    """List who is invited and has not answered."""
    session = current_session()
    database = access.require(session, current_actor(), path.id, "operate")
    listed = [told.invitation(row) for row in invitations.of_database(session, database)]
    return cacheable(told.InvitationList(data=listed))


@api.post("/<id>/invitations", responses=documented({201: told.InvitationOut}, 404, 409, 413, 415, 422))
def create(path: DatabasePath, header: PostHeaders, body: told.NewInvitation) -> Response:
    """Invite an e-mail address; the answer is the same whether or not it has an account."""
    limit_mails(body.email)
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, changes.on(path.id, "operate"))
    database = access.require(session, actor, path.id, "operate")
    made, mail = invitations.invite(session, actor, database, body.email, body.role)
    response = answer(told.invitation(made), 201)
    if claimed:
        changes.remember(session, claimed, response)
    outbox.post(session, mail)
    session.commit()
    return response


@api.post("/<id>/invitations/<invitation_id>/resend", responses=documented({200: told.InvitationOut}, 404, 413))
def resend(path: told.InvitationPath) -> Response:
    """Send another link, good for another 7 days; the old one ends."""
    require_no_fields()
    limit_mails(str(path.invitation_id))
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, path.id, "operate")
    found, mail = invitations.resend(session, actor, database, path.invitation_id)
    outbox.post(session, mail)
    session.commit()
    return answer(told.invitation(found))


@api.delete("/<id>/invitations/<invitation_id>", responses=documented({204: None}, 404, 409, 413, 422))
def withdraw(path: told.InvitationPath, header: PostHeaders) -> Response:
    """Withdraw an invitation."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "operate")
        invitations.withdraw(session, actor, database, path.invitation_id)
        return Response(status=204)

    return changes.once(header, changes.on(path.id, "operate"), make)


@own_api.get("", responses=documented({200: told.OwnInvitationList, 304: None}))
def of_account() -> Response:
    """List the invitations of this account's address; `owner` offers the database itself."""
    user = _account()
    listed = invitation_answers.of_user(current_session(), user)
    return cacheable(told.OwnInvitationList(data=[told.own(row) for row in listed]))


@own_api.post("/<id>/accept", responses=documented({200: schemas.DatabaseDetail}, 404, 409, 413))
def accept(path: told.OwnInvitationPath) -> Response:
    """Become a member, or the owner: that counts for the plan."""
    require_no_fields()
    _account()
    session = current_session()
    database, mail = invitation_answers.accept(session, current_actor(), path.id)
    outbox.post(session, mail)
    session.commit()
    return answer(shapes.detail(database))


@own_api.post("/<id>/decline", responses=documented({204: None}, 404, 413))
def decline(path: told.OwnInvitationPath) -> Response:
    """End the invitation; whoever invited is told."""
    require_no_fields()
    _account()
    session = current_session()
    mail = invitation_answers.decline(session, current_actor(), path.id)
    outbox.post(session, mail)
    session.commit()
    return Response(status=204)


def _account() -> User:
    """The key's user, when the key is for the whole account."""
    actor: Actor = current_actor()
    access.require_full_account(actor)
    if actor.user is None:
        raise InvitationNotFound
    return actor.user
