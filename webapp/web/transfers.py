"""Handing a database over: a page that asks to whom, and taking the offer back."""

import uuid

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.limits import limit_mails
from webapp.models import Database
from webapp.services import access, outbox, transfers
from webapp.services.errors import Conflict, ValidationFailed
from webapp.web.confirmation import require_recent
from webapp.web.once import once

blueprint = Blueprint("transfers", __name__, url_prefix="/databases/<uuid:database_id>/transfer")


@blueprint.get("")
def form(database_id: uuid.UUID) -> str:
    """What handing over means, and to whom."""
    database = access.require(current_session(), current_actor(), database_id, "own")
    require_recent()
    return _page(database)


@blueprint.post("")
@once
def offer(database_id: uuid.UUID) -> Response | tuple[str, int]:
    """Offer the database to the typed address."""
    email, stays = request.form.get("email", ""), request.form.get("stay") == "true"
    limit_mails(email)
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "own")
    require_recent()
    try:
        made, mail = transfers.offer(session, actor, database, email, stays=stays)
    except (ValidationFailed, Conflict) as error:
        session.rollback()
        words = " ".join(word for said in (error.errors or {}).values() for word in said)
        return _page(database, problem=words or str(error)), error.status
    outbox.post(session, mail)
    session.commit()
    flash(f"{database.display_name} is offered to {made.email}")
    return _back(database_id)


@blueprint.post("/withdraw")
def withdraw(database_id: uuid.UUID) -> Response:
    """Take the offer back."""
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, database_id, "own")
    transfers.withdraw(session, actor, database)
    session.commit()
    flash(f"{database.display_name} stays yours")
    return _back(database_id)


def _page(database: Database, problem: str | None = None) -> str:
    return render_template("databases/transfer.html", database=database, problem=problem)


def _back(database_id: uuid.UUID) -> Response:
    return redirect(url_for("databases.show", database_id=database_id), code=303)
