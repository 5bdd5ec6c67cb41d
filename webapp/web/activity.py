"""The activity page: who did what, when and from where."""

from flask import Blueprint, render_template

from webapp.http import current_actor, current_session
from webapp.services import audit
from webapp.web.requests import existing, page_number
from webapp.web.sessions import any_user

blueprint = Blueprint("activity", __name__, url_prefix="/activity")


@blueprint.get("")
@any_user
def index() -> str:
    """The visitor's own events and those of their databases; an admin sees all."""
    page = existing(audit.list_events(current_session(), current_actor(), page=page_number(), limit=40))
    with_address = audit.with_address(current_session(), current_actor(), page.items)
    return render_template("activity.html", page=page, with_address=with_address)
