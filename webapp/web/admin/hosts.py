"""Hosts: how each is, what waits for it, and whether databases go there. Adding one is the command line's."""

from dataclasses import dataclass

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.services import host_changes, host_details
from webapp.services.errors import Conflict, NotFound
from webapp.services.host_details import HostDetails
from webapp.web.admin.shell import admin_pages

blueprint = admin_pages("hosts", "/hosts")


@dataclass(frozen=True)
class Change:
    """A button of a host's page: the state it leads to, and what a person is told before and after."""

    state: str
    label: str
    icon: str
    text: str
    done: str


CHANGES = {
    "activate": Change(
        "active", "Activate", "play", "New databases may go to this host. Whatever waited for it goes on at once.",
        "is active",
    ),
    "drain": Change(
        "draining", "Drain", "log-out",
        "No new database goes to this host. Those that are there stay and work as before.", "is draining",
    ),
    "offline": Change(
        "offline", "Take offline", "ban",
        "Nothing is carried out on this host: what people ask of its databases waits until it is active or draining "
        "again. Clients of its databases are not cut off.",
        "is offline",
    ),
}  # fmt: skip


@blueprint.get("")
def index() -> str:
    """Every host, with how full and how well it is."""
    listed = host_details.list_hosts(current_session())
    return render_template("admin/hosts.html", hosts=listed, at_risk=host_details.backups_at_risk())


@blueprint.get("/<name>")
def show(name: str) -> str:
    """One host."""
    return detail_page(host_details.show_host(current_session(), name))


@blueprint.get("/<name>/<change>")
def confirm(name: str, change: str) -> str:
    """The confirmation as a page of its own, for browsers without JavaScript."""
    host = host_details.show_host(current_session(), name).host
    return render_template("admin/host_confirm.html", host=host, change=change, chosen=change_named(change))


@blueprint.post("/<name>/<change>")
def set_state(name: str, change: str) -> Response:
    """Give the host the state."""
    session, chosen = current_session(), change_named(change)
    host = host_details.show_host(session, name).host
    if host_changes.set_state(session, current_actor(), host, chosen.state):
        flash(f"{name} {chosen.done}")
    session.commit()
    return redirect(url_for("admin_hosts.show", name=name), code=303)


@blueprint.errorhandler(Conflict)
def refused(error: Conflict) -> tuple[str, int]:
    """Say on the host's page why the change cannot be made now."""
    current_session().rollback()
    name = (request.view_args or {})["name"]
    return detail_page(host_details.show_host(current_session(), name), str(error)), error.status


def change_named(name: str) -> Change:
    """Raises NotFound."""
    if name not in CHANGES:
        raise NotFound("There is no such page.")
    return CHANGES[name]


def detail_page(details: HostDetails, problem: str | None = None) -> str:
    session = current_session()
    context = {
        "details": details,
        "host": details.host,
        "figures": details.figures,
        "report": details.figures.report,
        "operations": host_details.open_operations(session, details.host),
        "events": host_details.recent_events(session, details.host),
        "changes": {name: change for name, change in CHANGES.items() if change.state != details.host.state},
        "problem": problem,
    }
    return render_template("admin/host.html", **context)
