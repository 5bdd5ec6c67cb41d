"""What every page of the admin panel shares: its place below /admin, and that it is there for platform admins alone."""

from flask import Blueprint
from flask_login import current_user

from webapp.services.errors import NotFound
from webapp.services.guards import mark_authorized


def admin_pages(name: str, path: str = "") -> Blueprint:
    """A blueprint `admin_<name>` at /admin<path>; its navigation entry stands in templates/admin/_nav.html."""
    made = Blueprint(f"admin_{name}", __name__, url_prefix=f"/admin{path}")
    made.before_request(require_admin)
    return made


def require_admin() -> None:
    """Raises NotFound for everybody else, as if there were no such page; who is not signed in is led to the sign-in."""
    if not current_user.is_authenticated:
        return
    if not current_user.user.is_admin:
        raise NotFound("There is no such page.")
    mark_authorized()
