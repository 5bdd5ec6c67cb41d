"""Settings → Security: how the signed-in user gets in."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session, resources
from webapp.services import identities, second_factors
from webapp.services.errors import Conflict
from webapp.web import providers
from webapp.web.confirmation import require_recent

blueprint = Blueprint("security_settings", __name__, url_prefix="/settings/security")


@blueprint.get("")
def index() -> str:
    """The ways in that the user has, and those that could be added."""
    return page()


@blueprint.post("/identities/<uuid:identity_id>/unlink")
def unlink(identity_id: uuid.UUID) -> Response | tuple[str, int]:
    """Take an identity away."""
    require_recent()
    try:
        identities.unlink(current_session(), current_actor(), current_user.user, identity_id)
    except Conflict as error:
        current_session().rollback()
        return page(problem=str(error)), error.status
    current_session().commit()
    flash("The identity is unlinked.")
    return redirect(url_for("security_settings.index"), code=303)


def page(**context: Any) -> str:
    """The whole page; *context* adds what a form answers: a secret, codes, errors."""
    linked = identities.list_identities(current_session(), current_user.user)
    configured = providers.available(resources().settings)
    titles = {provider.issuer: provider.title for provider in configured.values()}
    context |= {"identities": linked, "providers": configured.values(), "titles": titles}
    context["linked_issuers"] = {identity.issuer for identity in linked}
    context["factors"] = second_factors.of_user(current_session(), current_user.user)
    context.setdefault("errors", {})
    return render_template("settings/security.html", user=current_user.user, **context)
