"""Pages to list, create and look at databases, and to reveal their credentials."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from webapp.http import current_actor, current_session, resources
from webapp.models import Database
from webapp.models.databases import DATABASE_STATUSES, LEVELS
from webapp.services import (
    access,
    audit,
    billing,
    databases,
    differences,
    invitation_answers,
    invitations,
    member_credentials,
    members,
    metrics,
    moves,
    networks,
    operations,
    plans,
    storage,
    transfers,
)
from webapp.services.databases import Credentials, DatabaseSpec
from webapp.services.errors import Conflict, PlanLimitReached, ServiceError, ValidationFailed
from webapp.services.names import derive_name
from webapp.web import backups, more_snippets, plots
from webapp.web.once import once
from webapp.web.plots import RANGES
from webapp.web.requests import existing, page_number
from webapp.web.sessions import any_user
from webapp.web.snippets import Connection

blueprint = Blueprint("databases", __name__, url_prefix="/databases")

PER_PAGE = 20
FILTERS = {"": "All", "active": "Active", "stopped": "Stopped", "creating": "Creating", "error": "Error"}


@blueprint.get("")
def index() -> str:
    """The visitor's databases; an admin sees everybody's."""
    search, status = request.args.get("search", "")[:100], request.args.get("status", "")
    chosen = status if status in DATABASE_STATUSES else None
    session, actor = current_session(), current_actor()
    page = existing(
        databases.list_databases(
            session, actor, page=page_number(), limit=PER_PAGE, search=search or None, status=chosen
        )
    )
    used, plan = plans.live_databases(session, current_user.user), plans.plan_of(current_user.user)
    context: dict[str, Any] = {"search": search, "status": chosen or "", "filters": FILTERS, "used": used, "plan": plan}
    context |= _room()
    context["levels"] = members.levels(session, current_user.user)
    context["invitations"] = invitation_answers.of_user(session, current_user.user)
    return render_template("databases/index.html", page=page, **context)


@blueprint.get("/new")
@any_user
def new() -> str:
    """The form that asks for a display name and nothing else."""
    return render_template("databases/new.html", display_name="", name="", **_room())


@blueprint.get("/new/name")
@any_user
def preview_name() -> str:
    """The name that the display name typed so far would get: part of the form."""
    display_name = request.args.get("display_name", "").strip()[:100]
    name = derive_name(display_name) if display_name else ""
    return render_template("databases/_derived.html", name=name)


@blueprint.post("")
@once
def create() -> BaseResponse | tuple[str, int]:
    """Queue a new database under the name that the form showed."""
    display_name, name = request.form.get("display_name", ""), request.form.get("name") or None
    session = current_session()
    try:
        operation = databases.create_database(session, current_actor(), DatabaseSpec(display_name, name))
    except (ValidationFailed, PlanLimitReached, Conflict) as error:
        return _form_again(display_name, error)
    session.commit()
    return redirect(url_for("databases.show", database_id=operation.database_id), code=303)


@blueprint.get("/<uuid:database_id>")
def show(database_id: uuid.UUID) -> str:
    """Everything about one database, except its password."""
    database = access.require(current_session(), current_actor(), database_id, "view")
    return detail_page(database)


@blueprint.post("/<uuid:database_id>/credentials")
def reveal(database_id: uuid.UUID) -> Response | str:
    """Hand out the password: as JSON to the copy buttons, as part of the page or as the whole page to a person."""
    session = current_session()
    database = access.require(session, current_actor(), database_id, "credentials")
    credentials = databases.credentials(database)
    audit.record(session, current_actor(), "database.reveal_credentials", database.name, database=database)
    session.commit()
    if request.accept_mimetypes.best == "application/json":
        return jsonify(password=credentials.password)
    return detail_page(database, credentials)


def detail_page(
    database: Database,
    credentials: Credentials | None = None,
    problem: str | None = None,
    network_errors: dict[str, list[str]] | None = None,
    member_problem: str | None = None,
    own_credentials: Credentials | None = None,
) -> str:
    """The detail page; with *credentials* they are shown, with *problem* it says why a change was refused.

    With *network_errors* or *member_problem* the form of the allowlist or team is shown again with what was typed.
    """
    session, actor = current_session(), current_actor()
    recent = operations.list_operations(session, actor, limit=6, database_id=database.id).items
    context: dict[str, Any] = {
        "database": database,
        "credentials": credentials,
        **_connection_strings(database, credentials),
        "operations": recent,
        "latest": recent[0] if recent else None,
        "progress": operations.progress(recent[0]) if recent else None,
        "events": audit.recent_for_database(session, database, 8),
        "may": {permission: access.allows(actor, database, permission) for permission in access.PERMISSIONS},
        "problem": problem,
        "move_targets": moves.targets(session, database) if access.allows(actor, database, "move") else [],
        "storage": storage.usage(database),
        "difference": differences.of_database(session, database),
        "members": members.list_members(session, database),
        "member_problem": member_problem,
        "invited": invitations.of_database(session, database) if access.allows(actor, database, "operate") else [],
        "invitation_stands": invitations.stands,
        "transfer": transfers.of_database(session, database) if access.allows(actor, database, "own") else None,
        "own_member": member_credentials.of_actor(actor, database),
        "own_credentials": own_credentials,
        "levels": LEVELS,
        "network_errors": network_errors or {},
        "network_warnings": networks.warnings(entry.cidr for entry in database.allowlist),
        "own_network": _own_network(database),
        "ca_available": resources().settings.ca_file is not None,
        "tls": databases.tls_options(database.host),
    }
    context |= _metrics(session, database) | backups.summary(database)
    return render_template("databases/show.html", **context)


def _connection_strings(database: Database, credentials: Credentials | None) -> dict[str, Any]:
    """Those of both doors, which door the address asks for, and how each client takes it."""
    password = credentials.password if credentials else "MASKED"
    door = "direct" if request.args.get("door") == "direct" else "pooled"
    connection = Connection(
        host=database.host.public_host,
        port=database.host.pgbouncer_port,
        direct_port=database.host.pgbouncer_direct_port,
        database=database.name,
        user=database.name,
        password=password,
        root=databases.tls_options(database.host).get("sslrootcert"),
        is_direct=door == "direct",
    )
    return {
        "connection_string": databases.connection_string(database, password),
        "direct_connection_string": databases.connection_string(database, password, direct=True),
        "door": door,
        "snippets": more_snippets.of(connection),
    }


def _metrics(session: Session, database: Database) -> dict[str, Any]:
    """The metrics of the time that the address asks for, as numbers and as plots."""
    asked = request.args.get("range", "")
    chosen = asked if asked in RANGES else "day"
    found = metrics.of_database(session, database, chosen)
    length = timedelta(seconds=metrics.RANGES[chosen][0])
    drawn = plots.plots(found, length, datetime.now(UTC))
    return {"metrics": found, "plots": drawn, "range": chosen, "ranges": RANGES}


def _own_network(database: Database) -> str | None:
    """The visitor's address as a network, when the list does not hold it already."""
    try:
        network = networks.parse_network(request.remote_addr or "")
    except ValidationFailed:
        return None
    return None if any(entry.cidr == network for entry in database.allowlist) else str(network)


def _room() -> dict[str, Any]:
    """Whether the visitor's plan has room for a database, and whether a larger one can be bought here."""
    return {"room": plans.room(current_session(), current_user.user), "billing_on": billing.is_on()}


def _form_again(display_name: str, error: ServiceError) -> tuple[str, int]:
    """The form with what was typed and why it was refused; a name that is taken is derived anew."""
    current_session().rollback()
    errors = (error.errors or {}).get("displayName")
    problem = None if errors else str(error)
    context = {"display_name": display_name, "name": "", "errors": errors, "problem": problem, **_room()}
    return render_template("databases/new.html", **context), error.status
