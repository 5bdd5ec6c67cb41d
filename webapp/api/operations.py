"""Operations by the API: what was asked, how far it is, and what became of it."""

from flask import Response

from webapp.api import changes, schemas, shapes
from webapp.api.auth import routes
from webapp.api.changes import Allow, carry_out
from webapp.api.json_body import require_no_fields
from webapp.api.responses import answer, cacheable, documented, page_answer, pagination
from webapp.api.schemas import OperationPath, PostHeaders
from webapp.http import current_actor, current_session
from webapp.services import operations

api = routes("operations_api", "operations", "/operations")


@api.get("", responses=documented({200: schemas.OperationList, 304: None}))
def index(query: schemas.OperationQuery) -> Response:
    """List operations, newest first, also those on deleted databases."""
    page = operations.list_operations(
        current_session(),
        current_actor(),
        page=query.page,
        limit=query.limit,
        database_id=query.database_id,
        state=query.state,
    )
    shown = [shapes.operation(row) for row in page.items]
    return page_answer(schemas.OperationList(data=shown, pagination=pagination(page)), page)


@api.get("/<id>", responses=documented({200: schemas.OperationDetail, 304: None}, 404))
def show(path: OperationPath) -> Response:
    """Show an operation with its steps."""
    return cacheable(shapes.operation_detail(operations.find_operation(current_session(), current_actor(), path.id)))


@api.post("/<id>/cancel", responses=documented({200: schemas.OperationOut}, 404, 409, 413, 415, 422))
def cancel(path: OperationPath, header: PostHeaders) -> Response:
    """Cancel a queued operation, or ask the worker to stop a running one. What happened already stays."""
    require_no_fields()
    session, actor = current_session(), current_actor()
    claimed = changes.claim(session, actor, header)
    if claimed and claimed.answer:
        return changes.replay(claimed.answer, _operates(path))
    response = answer(shapes.operation(operations.cancel_operation(session, actor, path.id)))
    if claimed:
        changes.remember(session, claimed, response)
    session.commit()
    return response


@api.post(
    "/<id>/retry",
    responses=documented({200: schemas.OperationOut, 202: schemas.OperationOut}, 404, 409, 413, 415, 422, 500),
)
def retry(path: OperationPath, header: PostHeaders) -> Response:
    """Queue a failed or cancelled operation again."""
    require_no_fields()
    return carry_out(
        header,
        _operates(path),
        lambda session, actor: operations.retry_operation(session, actor, path.id),
        lambda operation: answer(shapes.operation(operation)),
    )


def _operates(path: OperationPath) -> Allow:
    return lambda session, actor: operations.find_operation(session, actor, path.id, "operate")
