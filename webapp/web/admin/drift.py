"""What differs from what it should be, host by host: repair it, or ignore it until it changes."""

import uuid

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.services import differences
from webapp.services.errors import Conflict
from webapp.web.admin.shell import admin_pages

blueprint = admin_pages("drift", "/drift")


@blueprint.get("")
def index(problem: str | None = None) -> str:
    """Every host with its differences as of the last check."""
    hosts = differences.by_host(current_session(), current_actor())
    return render_template("admin/drift.html", hosts=hosts, problem=problem)


@blueprint.post("/check")
def check() -> Response:
    """Have every host checked now."""
    differences.check_now(current_session(), current_actor())
    current_session().commit()
    flash("The hosts are being checked")
    return _back()


@blueprint.post("/<uuid:difference_id>/repair")
def repair(difference_id: uuid.UUID) -> Response:
    """Queue the converge and show its operation."""
    operation = differences.repair(current_session(), current_actor(), difference_id)
    current_session().commit()
    return redirect(url_for("operations.show", operation_id=operation.id), code=303)


@blueprint.post("/<uuid:difference_id>/ignore")
def ignore(difference_id: uuid.UUID) -> Response:
    """Say nothing more about it until it changes."""
    differences.ignore(current_session(), current_actor(), difference_id)
    current_session().commit()
    flash("Ignored until it changes")
    return _back()


@blueprint.post("/<uuid:difference_id>/notice")
def notice(difference_id: uuid.UUID) -> Response:
    """Take an *ignore* back."""
    differences.notice(current_session(), current_actor(), difference_id)
    current_session().commit()
    return _back()


@blueprint.errorhandler(Conflict)
def refused(error: Conflict) -> tuple[str, int]:
    """Say on the page why it cannot be repaired now."""
    current_session().rollback()
    return index(problem=str(error)), error.status


def _back() -> Response:
    return redirect(url_for("admin_drift.index"), code=303)
