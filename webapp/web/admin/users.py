"""Users: the list, one user, and what admins do with them."""

import uuid
from collections.abc import Callable
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.models import User
from webapp.services import plans, subscriptions, usage, user_admin, user_deletions, users, viewing
from webapp.services.actors import Actor
from webapp.services.errors import BillingUnavailable, Conflict, ValidationFailed
from webapp.web.admin.shell import admin_pages
from webapp.web.confirmation import require_recent
from webapp.web.requests import existing, page_number

blueprint = admin_pages("users", "/users")

STATES = {"": "All", "active": "Active", "banned": "Banned", "deleted": "Deleted", "admin": "Admins"}
type Change = Callable[[Session, Actor, User], object]


@blueprint.get("")
def index() -> str:
    """All users, by address, plan and state."""
    asked = {"search": request.args.get("search", "")[:100], "plan": request.args.get("plan", "")}
    state = request.args.get("state", "")
    asked["state"] = state if state in STATES else ""
    found = user_admin.list_users(current_session(), current_actor(), page=page_number(), **asked)
    context: dict[str, Any] = {"plans": plans.all_plans(), "states": STATES, **asked}
    return render_template("admin/users.html", found=found, page=existing(found.page), **context)


@blueprint.get("/<uuid:user_id>")
def show(user_id: uuid.UUID) -> str:
    """One user, with everything that can be done."""
    return _page(user_id)


@blueprint.post("/<uuid:user_id>/plan")
def change_plan(user_id: uuid.UUID) -> Response:
    plan = request.form.get("plan", "")
    return _change(
        user_id, "Plan changed", lambda session, actor, user: user_admin.change_plan(session, actor, user, plan)
    )


@blueprint.post("/<uuid:user_id>/role")
def change_role(user_id: uuid.UUID) -> Response:
    require_recent()
    role = request.form.get("role", "")
    return _change(
        user_id, "Role changed", lambda session, actor, user: user_admin.change_role(session, actor, user, role)
    )


@blueprint.post("/<uuid:user_id>/ban")
def ban(user_id: uuid.UUID) -> Response:
    reason = request.form.get("reason", "")
    return _change(
        user_id,
        "Banned. Their databases keep running.",
        lambda session, actor, user: user_admin.ban(session, actor, user, reason),
    )


@blueprint.post("/<uuid:user_id>/unban")
def unban(user_id: uuid.UUID) -> Response:
    return _change(user_id, "The ban is lifted", user_admin.unban)


@blueprint.post("/<uuid:user_id>/email")
def change_email(user_id: uuid.UUID) -> Response:
    require_recent()
    email = request.form.get("email", "")
    return _change(
        user_id, "Address changed", lambda session, actor, user: user_admin.change_email(session, actor, user, email)
    )


@blueprint.post("/<uuid:user_id>/delete")
def delete(user_id: uuid.UUID) -> Response:
    """The typed address confirms it; the databases go with the user or to somebody else."""
    require_recent()
    form = request.form

    def work(session: Session, actor: Actor, user: User) -> None:
        if form.get("confirmation", "").strip() != user.email:
            raise ValidationFailed(
                "Type the address to confirm.", errors={"confirmation": ["This is another address."]}
            )
        user_deletions.delete_user(session, actor, user, heir=_heir(session, form.get("heir", "")))

    return _change(user_id, "Deleted. This can be undone for a time.", work)


@blueprint.post("/<uuid:user_id>/undelete")
def undelete(user_id: uuid.UUID) -> Response:
    return _change(user_id, "The deletion is taken back. Their databases are being started.", user_deletions.undo)


@blueprint.post("/<uuid:user_id>/view")
def view_as(user_id: uuid.UUID) -> Response:
    """Look at the dashboard as this user sees it."""
    require_recent()
    session, actor = current_session(), current_actor()
    viewing.begin(session, actor, current_user.auth_session, user_admin.find_user(session, actor, user_id))
    session.commit()
    return redirect(url_for("databases.index"), code=303)


@blueprint.errorhandler(Conflict)
@blueprint.errorhandler(ValidationFailed)
@blueprint.errorhandler(BillingUnavailable)
def refused(error: Conflict | ValidationFailed | BillingUnavailable) -> tuple[str, int]:
    """Say on the user's page why it was not done."""
    current_session().rollback()
    words = [word for field in (error.errors or {}).values() for word in field]
    return _page((request.view_args or {})["user_id"], problem=" ".join([str(error), *words])), error.status


def _heir(session: Session, email: str) -> User | None:
    """Who gets the databases; nobody when the field is empty. Raises ValidationFailed for an unknown address."""
    if not email.strip():
        return None
    heir = users.by_email(session, email)
    if heir is None or heir.state != "active":
        raise ValidationFailed("Nobody can take the databases over.", errors={"heir": [f"There is no user {email}."]})
    return heir


def _change(user_id: uuid.UUID, done: str, work: Change) -> Response:
    """One change to one user, committed and told."""
    session, actor = current_session(), current_actor()
    work(session, actor, user_admin.find_user(session, actor, user_id))
    session.commit()
    flash(done)
    return redirect(url_for("admin_users.show", user_id=user_id), code=303)


def _page(user_id: uuid.UUID, problem: str | None = None) -> str:
    session = current_session()
    user = user_admin.find_user(session, current_actor(), user_id)
    context = {
        "user": user,
        "problem": problem,
        "plan": plans.plan_of(user),
        "plans": plans.all_plans(),
        "usage": usage.of_user(session, user),
        "subscription": subscriptions.of_user(session, user),
        "deletion": user_deletions.of_user(session, user),
    }
    return render_template("admin/user.html", **context)
