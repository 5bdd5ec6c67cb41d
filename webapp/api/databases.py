"""Databases by the API."""

from collections.abc import Callable
from dataclasses import asdict

from flask import Response
from sqlalchemy.orm import Session

from webapp.api import access_schemas, changes, figures, schemas, shapes
from webapp.api.auth import routes
from webapp.api.backup_schemas import DeleteQuery
from webapp.api.changes import Ask, carry_out
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented, page_answer, pagination
from webapp.api.schemas import DatabasePath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.models import Database, Operation
from webapp.services import access, audit, databases, deletions, metrics, storage_limits
from webapp.services.actors import Actor

api = routes("databases_api", "databases", "/databases")
ACCEPTED = {202: schemas.OperationOut}
QUEUED = (404, 409, 413, 500)
POSTED = (*QUEUED, 415, 422)
DETAIL = {200: schemas.DatabaseDetail}


@api.get("", responses=documented({200: schemas.DatabaseList, 304: None}))
def index(query: schemas.DatabaseQuery) -> Response:
    """List databases, newest first."""
    page = databases.list_databases(
        current_session(),
        current_actor(),
        page=query.page,
        limit=query.limit,
        search=query.search,
        status=query.status,
    )
    shown = [shapes.summary(row) for row in page.items]
    return page_answer(schemas.DatabaseList(data=shown, pagination=pagination(page)), page)


@api.post("", responses=documented({201: schemas.CreatedDatabase, **ACCEPTED}, 409, 413, 415, 422, 500))
def create(header: PostHeaders, body: schemas.NewDatabase) -> Response:
    """Create a database. The answer holds its password."""
    spec = databases.DatabaseSpec(body.display_name, body.name)
    return carry_out(
        header,
        changes.whole_account,
        lambda session, actor: databases.create_database(session, actor, spec),
        lambda operation: answer(shapes.created(operation), 201),
        sees="credentials",
    )


@api.get("/<id>", responses=documented({**DETAIL, 304: None}, 404))
def show(path: DatabasePath) -> Response:
    """Show a database; never its password."""
    return cacheable(shapes.detail(access.require(current_session(), current_actor(), path.id, "view")))


@api.get("/<id>/metrics", responses=documented({200: figures.Metrics}, 404))
def show_metrics(path: DatabasePath, query: figures.MetricsQuery) -> Response:
    """Show how large and how busy a database is, and was; sizes and clients are as of the host's last report."""
    session = current_session()
    database = access.require(session, current_actor(), path.id, "view")
    return answer(figures.of_database(metrics.of_database(session, database, query.range)))


@api.patch("/<id>", responses=documented(DETAIL, 404, 413, 415, 422))
def change(path: DatabasePath, header: PostHeaders, body: schemas.DatabaseChanges) -> Response:
    """Rename a database: its display name, not the name in connection strings."""

    def make(session: Session, actor: Actor) -> Response:
        database = access.require(session, actor, path.id, "operate")
        if body.model_fields_set:
            databases.rename_database(session, actor, database, body.display_name)
        else:
            changes.nothing_changed()
        session.flush()
        return answer(shapes.detail(database))

    return changes.once(header, changes.on(path.id, "operate"), make)


@api.delete("/<id>", responses=documented({204: None, **ACCEPTED}, *QUEUED, 422))
def delete(path: DatabasePath, header: PostHeaders, query: DeleteQuery) -> Response:
    """Delete a database: data, role and pool entry go, and the name is free. A final backup is kept unless skipped."""

    def end(session: Session, actor: Actor, database: Database) -> Operation:
        return deletions.delete_database(session, actor, database, skip_final_backup=query.skip_final_backup)

    return carry_out(header, changes.on(path.id, "own"), _asks(path, "own", end), lambda _: Response(status=204))


@api.post("/<id>/reset-password", responses=documented({200: schemas.NewPassword, **ACCEPTED}, *POSTED))
def reset_password(path: DatabasePath, header: PostHeaders) -> Response:
    """Replace the password; the old one is dead at once, for open connections too."""
    return carry_out(
        header,
        changes.on(path.id, "reset_password"),
        _asks(path, "reset_password", databases.reset_password),
        _new_password,
    )


@api.post("/<id>/reveal-credentials", responses=documented({200: access_schemas.Credentials}, *POSTED))
def reveal_credentials(path: DatabasePath) -> Response:
    """Show the password and how to connect, and record that it was shown. Nothing changes on the host."""
    require_no_fields()
    session, actor = current_session(), current_actor()
    database = access.require(session, actor, path.id, "credentials")
    shown = access_schemas.Credentials(**asdict(databases.credentials(database)))
    audit.record(session, actor, "database.reveal_credentials", database.name, database=database)
    session.commit()
    return answer(shown)


@api.post("/<id>/repair-ownership", responses=documented({200: schemas.RepairedOwnership, **ACCEPTED}, *POSTED))
def repair_ownership(path: DatabasePath, header: PostHeaders) -> Response:
    """Give every object inside back to the database's own role."""
    return carry_out(
        header, changes.on(path.id, "operate"), _asks(path, "operate", databases.repair_ownership), _repaired
    )


@api.post("/<id>/start", responses=documented({**DETAIL, **ACCEPTED}, *POSTED))
def start(path: DatabasePath, header: PostHeaders) -> Response:
    """Open a stopped database again."""
    return carry_out(header, changes.on(path.id, "operate"), _asks(path, "operate", databases.start_database), _detail)


@api.post("/<id>/stop", responses=documented({**DETAIL, **ACCEPTED}, *POSTED))
def stop(path: DatabasePath, header: PostHeaders) -> Response:
    """Cut off all clients and refuse new ones; the data stays."""
    return carry_out(header, changes.on(path.id, "operate"), _asks(path, "operate", databases.stop_database), _detail)


@api.post("/<id>/restart", responses=documented({**DETAIL, **ACCEPTED}, *POSTED))
def restart(path: DatabasePath, header: PostHeaders) -> Response:
    """Cut every client once; they may connect again at once."""
    return carry_out(
        header, changes.on(path.id, "operate"), _asks(path, "operate", databases.restart_database), _detail
    )


@api.post("/<id>/clean-up", responses=documented({**DETAIL, **ACCEPTED}, *POSTED))
def clean_up(path: DatabasePath, header: PostHeaders) -> Response:
    """Open a database that was shut for its growth, read-only, so that space can be freed."""
    return carry_out(header, changes.on(path.id, "operate"), _asks(path, "operate", storage_limits.clean_up), _detail)


type Service = Callable[[Session, Actor, Database], Operation]


def _asks(path: DatabasePath, permission: str, service: Service) -> Ask:
    """*service* on the database of the path, for an actor with *permission* on it."""
    require_no_fields()

    def ask(session: Session, actor: Actor) -> Operation:
        return service(session, actor, access.require(session, actor, path.id, permission))

    return ask


def _detail(operation: Operation) -> Response:
    return answer(shapes.detail(operation.database))


def _new_password(operation: Operation) -> Response:
    return answer(schemas.NewPassword(password=databases.credentials_of_operation(operation).password))


def _repaired(operation: Operation) -> Response:
    name = operation.database.name
    message = f"Every object in {name} belongs to the role {name}."
    return answer(schemas.RepairedOwnership(name=name, message=message))
