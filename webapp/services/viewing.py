"""An admin looks at DBHost as another user sees it: only looking, and on record."""

from sqlalchemy.orm import Session

from webapp.models import AuthSession, User
from webapp.services import audit
from webapp.services.actors import Actor
from webapp.services.errors import Conflict
from webapp.services.guards import mark_authorized
from webapp.services.user_admin import require_admin


def begin(session: Session, actor: Actor, auth_session: AuthSession, user: User) -> None:
    """From now on this browser shows what *user* may see. Raises Conflict for admins: they see everything already."""
    require_admin(actor)
    if user.is_admin:
        raise Conflict("This is a platform admin, who sees what you see.")
    if user.state == "deleted":
        raise Conflict("This user is deleted.")
    auth_session.viewing = user
    audit.record(session, actor, "user.view_as", user.email)


def end(session: Session, actor: Actor, auth_session: AuthSession) -> None:
    """Be oneself again; *actor* is the admin."""
    mark_authorized()
    if auth_session.viewing is not None:
        audit.record(session, actor, "user.end_view_as", auth_session.viewing.email)
    auth_session.viewing = None
