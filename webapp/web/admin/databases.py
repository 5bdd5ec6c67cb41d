"""Everybody's databases."""

from flask import render_template, request

from webapp.http import current_actor, current_session
from webapp.models.databases import DATABASE_STATUSES
from webapp.services import everything
from webapp.services.everything import Filters
from webapp.web.admin.shell import admin_pages
from webapp.web.requests import existing, page_number

blueprint = admin_pages("databases", "/databases")

STATES = (*DATABASE_STATUSES, "deleted")


@blueprint.get("")
def index() -> str:
    """All of them, by name or owner, status and host."""
    session = current_session()
    words = {name: request.args.get(name, "")[:100] for name in ("search", "state", "host")}
    filters = Filters(**words | ({} if words["state"] in STATES else {"state": ""}))
    page = existing(everything.databases(session, current_actor(), filters, page=page_number()))
    hosts = everything.host_names(session)
    return render_template("admin/databases.html", page=page, filters=filters, hosts=hosts, states=STATES)
