"""The dashboard as a SAML service provider: its metadata, and the way out to the identity provider and back.

The provider's page posts its answer from another site, where browsers send no cookie of ours and no CSRF token. So it
is checked and kept there, and counts only when the browser that asked comes to the callback with its token.
"""

from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates
from flask import Blueprint, Flask, Response, current_app, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.gateways.saml import Agreement
from webapp.http import current_session, public, resources
from webapp.services import guards, mails, saml
from webapp.services.errors import NotFound, ProviderFailed

blueprint = Blueprint("saml", __name__, url_prefix="/sign-in/saml")
TOKEN = "saml_request"  # noqa: S105  # the name of the cookie's field
EXTENSION = "dbhost_saml_certificates"


@blueprint.get("/metadata")
@public
def metadata() -> Response:
    """What an identity provider needs to know of this installation."""
    return Response(render_template("saml_metadata.xml", agreement=agreement()), mimetype="application/xml")


@blueprint.post("/acs")
@public
def take() -> BaseResponse:
    """Take the provider's answer to the callback. RelayState is not read: the browser's own cookie knows where to go.

    No page is shown here, since one would replace the browser's form cookie, which did not come along.
    """
    guards.mark_audited()  # by the sign-in that it is for, when the browser comes to the callback
    config = resources().settings
    try:
        answer = saml.take(
            current_session(), agreement(), request.form.get("SAMLResponse", ""), config.saml_email_attribute
        )
        current_session().commit()
    except ProviderFailed:
        current_session().rollback()
        answer = ""
    return redirect(url_for("federation.back", name="saml", answer=answer), code=303)


def leave(*, again: bool) -> BaseResponse:
    """The redirect to the provider."""
    asked = saml.ask(current_session(), agreement(), again=again)
    current_session().commit()
    session[TOKEN] = asked.token
    return redirect(asked.url)


def told() -> dict[str, str | None]:
    """What the provider said to this browser. Raises ProviderFailed."""
    subject, email = saml.told(current_session(), request.args.get("answer", ""), session.pop(TOKEN, ""))
    return {"sub": subject, "email": email}


def load_certificates(app: Flask, path: Path) -> None:
    """Read the certificates that the provider may sign with. Raises OSError or ValueError."""
    app.extensions[EXTENSION] = frozenset(load_pem_x509_certificates(path.read_bytes()))


def agreement() -> Agreement:
    """Raises NotFound where SAML is not configured."""
    config = resources().settings
    if not (config.saml_issuer and config.saml_url and EXTENSION in current_app.extensions):
        raise NotFound("There is no such way to sign in.")
    return Agreement(
        issuer=config.saml_issuer,
        url=config.saml_url,
        certificates=current_app.extensions[EXTENSION],
        audience=mails.link(url_for("saml.metadata")),
        recipient=mails.link(url_for("saml.take")),
    )
