"""Pages outside any subject: the front door, the local CA's certificate, and a form that is too old."""

from flask import Blueprint, Response, abort, redirect, send_file, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.wrappers import Response as BaseResponse

from webapp.http import error_response, public, resources

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@public
def home() -> BaseResponse:
    """There is no page to see before the databases."""
    return redirect(url_for("databases.index"))


@blueprint.get("/ca.crt")
@public
def ca_certificate() -> Response:
    """The certificate authority that clients of this installation need for `sslmode=verify-full`."""
    path = resources().settings.ca_file
    if path is None:
        abort(404)
    return send_file(path.resolve(), mimetype="application/x-x509-ca-cert", as_attachment=True, download_name="ca.crt")


def form_too_old(_error: CSRFError) -> Response:
    """The form does not belong to this browser's session any more, or never did."""
    detail = "This page was open for too long, or it was not sent from here. Go back, reload it and try again."
    return error_response(400, "INVALID_REQUEST", "Please try again", detail)
