"""Handing a database over by the API."""

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import changes
from webapp.api import invitation_schemas as told
from webapp.api.auth import routes
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import DatabasePath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.limits import limit_mails
from webapp.services import access, outbox, transfers
from webapp.services.actors import Actor
from webapp.services.errors import InvitationNotFound

api = routes("transfers_api", "members", "/databases")


@api.get("/<id>/transfer", responses=documented({200: told.TransferOut, 304: None}, 404))
def show(path: DatabasePath) -> Response:
    """Show to whom the database is offered."""
    session = current_session()
    database = access.require(session, current_actor(), path.id, "own")
    found = transfers.of_database(session, database)
    if found is None:
        raise InvitationNotFound("This database is not being handed over.")
    return cacheable(told.transfer(found))


@api.post("/<id>/transfer", responses=documented({201: told.TransferOut}, 404, 409, 413, 415, 422))
def offer(path: DatabasePath, header: PostHeaders, body: told.NewTransfer) -> Response:
    """Offer the database to an e-mail address; it changes hands when that is accepted, within 7 days."""
    limit_mails(body.email)
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, _hands_over(path))
    database = access.require(session, actor, path.id, "own")
    access.require_full_account(actor)
    made, mail = transfers.offer(session, actor, database, body.email, stays=body.stay)
    response = answer(told.transfer(made), 201)
    if claimed:
        changes.remember(session, claimed, response)
    outbox.post(session, mail)
    session.commit()
    return response


@api.delete("/<id>/transfer", responses=documented({204: None}, 404, 409, 413, 422))
def withdraw(path: DatabasePath, header: PostHeaders) -> Response:
    """Take the offer back."""
    require_no_fields()

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "own")
        access.require_full_account(actor)
        transfers.withdraw(session, actor, database)
        return Response(status=204)

    return changes.once(header, _hands_over(path), make)


def _hands_over(path: DatabasePath) -> changes.Allow:
    def allow(session: Session, actor: Actor) -> None:
        access.require_also_deleted(session, actor, path.id, "own")
        access.require_full_account(actor)

    return allow
