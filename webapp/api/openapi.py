"""The app as an OpenAPI 3.1 application: its document, and validation errors in the API's own envelope."""

from flask import Response
from flask_openapi.models.info import Info
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.openapi import OpenAPI
from pydantic import ValidationError

from webapp.api.backup_schemas import BackupPath
from webapp.api.drift import DifferencePath
from webapp.api.invitation_schemas import InvitationPath, OwnInvitationPath
from webapp.api.json_body import StrictRequest
from webapp.api.schemas import DatabasePath, MemberPath, OperationPath, Problem
from webapp.services.errors import (
    DatabaseNotFound,
    DifferenceNotFound,
    InvitationNotFound,
    MemberNotFound,
    OperationNotFound,
    ValidationFailed,
)

DESCRIPTION = """Managed PostgreSQL databases. Every change is queued as an operation; a call waits for it up to 30 s
and answers with its result, or at once with 202 when it carries `Prefer: respond-async`."""
type Missing = DatabaseNotFound | DifferenceNotFound | InvitationNotFound | MemberNotFound | OperationNotFound
MISSING: dict[str, type[Missing]] = {
    DatabasePath.__name__: DatabaseNotFound,
    BackupPath.__name__: DatabaseNotFound,
    MemberPath.__name__: MemberNotFound,
    OperationPath.__name__: OperationNotFound,
    DifferencePath.__name__: DifferenceNotFound,
    InvitationPath.__name__: InvitationNotFound,
    OwnInvitationPath.__name__: InvitationNotFound,
}
WORDS = {
    "extra_forbidden": "This field is not known.",
    "missing": "This field is missing.",
    "string_type": "This must be a string.",
    "string_unicode": "This must be valid Unicode.",
}


def make_app() -> OpenAPI:
    """An empty app that collects the OpenAPI document from the routes it is given."""
    app = OpenAPI(
        "webapp",
        info=Info(title="DBHost", version="1", description=DESCRIPTION),
        security_schemes={"apiKey": SecurityScheme(type="http", scheme="bearer", description="An API key, `dbh_…`.")},
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=refuse,
        doc_ui=False,
    )
    app.openapi_version = "3.1.0"
    app.request_class = StrictRequest
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    return app


def refuse(error: ValidationError) -> Response:
    """Raise what the API says to an invalid request; an id that is no UUID names nothing that exists."""
    if missing := MISSING.get(error.title):
        raise missing from None
    errors: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in detail["loc"])[:60].encode("utf-8", "replace").decode()
        errors.setdefault(field or "body", []).append(WORDS.get(detail["type"], detail["msg"]))
    raise ValidationFailed("The request breaks a rule; see errors.", errors=errors)
