"""How the installation is, on one page."""

from flask import render_template

from webapp.http import current_session
from webapp.services import health, overview
from webapp.web.admin.shell import admin_pages

blueprint = admin_pages("overview")


@blueprint.get("")
def index() -> str:
    """Hosts and what is wrong with them, and how much there is of everything."""
    session = current_session()
    hosts = health.host_figures(session)
    return render_template("admin/overview.html", hosts=hosts, totals=overview.totals(session))
