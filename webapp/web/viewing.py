"""The way back for an admin who looks at the dashboard as somebody else."""

from flask import Blueprint, g, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_session
from webapp.services import viewing
from webapp.services.actors import Actor
from webapp.services.errors import NotFound

blueprint = Blueprint("viewing", __name__)


@blueprint.post("/viewing/stop")
def stop() -> Response:
    """Be oneself again. Raises NotFound for who is not looking as anybody."""
    if not current_user.is_authenticated or current_user.viewer is None:
        raise NotFound("There is no such page.")
    user_id = current_user.user.id
    actor = Actor("user", current_user.viewer, ip=request.remote_addr, request_id=g.request_id)
    viewing.end(current_session(), actor, current_user.auth_session)
    current_session().commit()
    return redirect(url_for("admin_users.show", user_id=user_id), code=303)
